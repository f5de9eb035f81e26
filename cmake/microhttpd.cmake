# SPDX-License-Identifier: GPL-3.0-or-later
# MICROHTTPD_FILE and MICROHTTPD_PACKAGE: the soname of the libmicrohttpd whose header the build uses, which the host opens by
# that name, and its Debian package. (A package called …t64 provides the name without it.)
file(REAL_PATH "${MICROHTTPD_LINK_LIBRARIES}" microhttpd_file)
if(NOT microhttpd_file MATCHES "/(libmicrohttpd)\\.so\\.([0-9]+)[.0-9]*$")
  message(FATAL_ERROR "${microhttpd_file} does not tell the soname of libmicrohttpd")
endif()
set(MICROHTTPD_FILE ${CMAKE_MATCH_1}.so.${CMAKE_MATCH_2})
set(MICROHTTPD_PACKAGE ${CMAKE_MATCH_1}${CMAKE_MATCH_2})
