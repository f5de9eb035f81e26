# SPDX-License-Identifier: GPL-3.0-or-later
# A test of valawai_test_plugin: `valawai-host try` on PLUGIN with the lines of INPUT. Its output has to be EXPECT, byte for
# byte, and REJECTED messages have to be rejected. What a message of CMake's has indented, CMake does not wrap.
cmake_minimum_required(VERSION 3.20)

foreach(file IN ITEMS "${INPUT}" "${EXPECT}")
  if(NOT EXISTS "${file}" OR IS_DIRECTORY "${file}")
    message(FATAL_ERROR "  ${file}: no such file; valawai_test_plugin names it as INPUT or EXPECT")
  endif()
endforeach()

# A sanitizer's last word would be 1 as well, which is also that of a message that was rejected.
foreach(options IN ITEMS ASAN_OPTIONS UBSAN_OPTIONS)
  set(ENV{${options}} "exitcode=99:$ENV{${options}}")
endforeach()

execute_process(
  COMMAND ${HOST} try --keep-going ${PLUGIN}
  INPUT_FILE ${INPUT}
  OUTPUT_VARIABLE got
  ERROR_VARIABLE records
  RESULT_VARIABLE status)
file(READ ${EXPECT} expected)
string(STRIP "${records}" shown)
string(REPLACE "\n" "\n    " shown "${shown}")
set(shown "\n  The records:\n    ${shown}")

# 1 is also how `try` ends when it could not do its work: both lines have to be there. A plugin may still end badly after them.
if(status STREQUAL "0")
  set(rejected 0)
elseif(status STREQUAL "1"
       AND records MATCHES "(^|\n)valawai-host: not every message was handled\n"
       AND records MATCHES "(^|\n)[0-9]+ messages? in [^\n]* done, ([0-9]+) rejected; [0-9]+ publications?\n")
  set(rejected ${CMAKE_MATCH_2})
else()
  message(FATAL_ERROR "  valawai-host try ended with: ${status}${shown}")
endif()

# Sets <result> to the line of <text> that the byte <at> is in, for people.
function(line_at result text at)
  string(SUBSTRING "${text}" 0 ${at} before)
  string(FIND "${before}" "\n" start REVERSE)
  math(EXPR start "${start} + 1")
  string(SUBSTRING "${text}" ${start} -1 line)
  string(FIND "${line}" "\n" end)
  if(line STREQUAL "")
    set(line "(nothing more)")
  elseif(end EQUAL -1)
    string(APPEND line " (without a line end)")
  endif()
  string(SUBSTRING "${line}" 0 ${end} line)
  set(${result} "${line}" PARENT_SCOPE)
endfunction()

if(NOT got STREQUAL expected)
  # How many bytes are the same, by halves: an output may be long.
  string(LENGTH "${got}" most)
  string(LENGTH "${expected}" other)
  if(other LESS most)
    set(most ${other})
  endif()
  set(same 0)
  while(same LESS most)
    math(EXPR middle "(${same} + ${most} + 1) / 2")
    string(SUBSTRING "${got}" 0 ${middle} left)
    string(SUBSTRING "${expected}" 0 ${middle} right)
    if(left STREQUAL right)
      set(same ${middle})
    else()
      math(EXPR most "${middle} - 1")
    endif()
  endwhile()
  string(SUBSTRING "${expected}" 0 ${same} before)
  string(REGEX REPLACE "[^\n]+" "" before "${before}")
  string(LENGTH "${before}" number)
  math(EXPR number "${number} + 1")
  line_at(got_line "${got}" ${same})
  line_at(expected_line "${expected}" ${same})
  message(FATAL_ERROR "  ${EXPECT}: line ${number} is not what came out of ${INPUT}:\n"
                      "  expected: ${expected_line}\n  got:      ${got_line}${shown}")
endif()
if(NOT rejected STREQUAL REJECTED)
  message(FATAL_ERROR "  ${INPUT}: messages rejected: ${rejected}, and not ${REJECTED}.${shown}")
endif()
message(STATUS "as expected:\n${records}")
