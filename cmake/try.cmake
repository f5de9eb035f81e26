# SPDX-License-Identifier: GPL-3.0-or-later
# A test of valawai_test_plugin: `valawai-host try` on PLUGIN with the lines of INPUT. Its output has to be EXPECT, byte for
# byte, and REJECTED messages have to be rejected.
execute_process(
  COMMAND ${HOST} try --keep-going ${PLUGIN}
  INPUT_FILE ${INPUT}
  OUTPUT_VARIABLE got
  ERROR_VARIABLE records
  RESULT_VARIABLE status)
file(READ ${EXPECT} expected)
if(status EQUAL 0)
  set(rejected 0)
elseif(records MATCHES " done, ([0-9]+) rejected")
  set(rejected ${CMAKE_MATCH_1})
else()
  message(FATAL_ERROR "valawai-host try: ${status}\n${records}")
endif()
if(NOT got STREQUAL expected)
  message(FATAL_ERROR "${INPUT}: this came out:\n${got}\nand ${EXPECT} says:\n${expected}\nThe records:\n${records}")
endif()
if(NOT rejected EQUAL REJECTED)
  message(FATAL_ERROR "${INPUT}: ${rejected} messages were rejected, and not ${REJECTED}. The records:\n${records}")
endif()
message(STATUS "as expected:\n${records}")
