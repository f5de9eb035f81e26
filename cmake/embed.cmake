# SPDX-License-Identifier: GPL-3.0-or-later
# Writes OUTPUT, a C file that holds the bytes of INPUT and a '\0' as valawai_asyncapi.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes
                     "${bytes}")
file(WRITE ${OUTPUT} "extern const char valawai_asyncapi[];\nconst char valawai_asyncapi[] = {\n${bytes}0};\n")
