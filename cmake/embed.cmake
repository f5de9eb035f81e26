# SPDX-License-Identifier: GPL-3.0-or-later
# Writes OUTPUT, a C or C++ file that holds the bytes of INPUT and a '\0' as NAME; without NAME as valawai_asyncapi.
cmake_minimum_required(VERSION 3.20)
if(NOT DEFINED NAME)
  set(NAME valawai_asyncapi)
endif()
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}") # C++ makes no char of a number above 127
file(WRITE ${OUTPUT}
     "#ifdef __cplusplus\nextern \"C\" {\n#endif\n"
     "extern const char ${NAME}[];\n"
     "const char ${NAME}[] = {\n${bytes}0};\n"
     "#ifdef __cplusplus\n}\n#endif\n")
