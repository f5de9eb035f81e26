# SPDX-License-Identifier: GPL-3.0-or-later
# Writes OUTPUT, a C file that holds the page INPUT as page_html, and as page_policy the Content-Security-Policy that allows its
# own <style> and <script>, by their hashes, and nothing else.
cmake_minimum_required(VERSION 3.20)
set(NAME page_html)
include(${CMAKE_CURRENT_LIST_DIR}/embed.cmake)

# base64_of(RESULT HEX): three hexadecimal digits are two characters of base64. A SHA-256 has 64 digits, so one is left over.
function(base64_of result hex)
  set(alphabet "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  set(text "")
  foreach(at RANGE 0 60 3)
    string(SUBSTRING "${hex}" ${at} 3 digits)
    math(EXPR high "0x${digits} >> 6")
    math(EXPR low "0x${digits} & 63")
    string(SUBSTRING "${alphabet}" ${high} 1 first)
    string(SUBSTRING "${alphabet}" ${low} 1 second)
    string(APPEND text "${first}${second}")
  endforeach()
  string(SUBSTRING "${hex}" 63 1 digit)
  math(EXPR last "0x${digit} << 2")
  string(SUBSTRING "${alphabet}" ${last} 1 character)
  set(${result} "${text}${character}=" PARENT_SCOPE)
endfunction()

# hash_of(RESULT ELEMENT): of what is inside the only element of that name.
function(hash_of result element)
  string(FIND "${page}" "<${element}>" begin)
  string(FIND "${page}" "</${element}>" end)
  string(LENGTH "<${element}>" tag)
  if(begin LESS 0 OR end LESS begin)
    message(FATAL_ERROR "${INPUT}: no <${element}>")
  endif()
  math(EXPR begin "${begin} + ${tag}")
  math(EXPR length "${end} - ${begin}")
  string(SUBSTRING "${page}" ${begin} ${length} content)
  string(SHA256 hash "${content}")
  base64_of(base64 ${hash})
  set(${result} "'sha256-${base64}'" PARENT_SCOPE)
endfunction()

file(READ ${INPUT} page)
hash_of(style style)
hash_of(script script)
file(APPEND ${OUTPUT}
     "extern const char page_policy[];\n"
     "const char page_policy[] = \"default-src 'none'; style-src ${style}; script-src ${script}; img-src data:; "
     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\";\n")
