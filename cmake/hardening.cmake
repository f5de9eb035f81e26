# SPDX-License-Identifier: GPL-3.0-or-later
# The program reads data from a network, so these options make its faults hard to exploit.
option(VALAWAI_HARDEN "Hardening flags (the release preset has them)" OFF)

if(VALAWAI_HARDEN)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|i.86")
    add_compile_options(-fcf-protection)
  endif()
  add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
  include(CheckPIESupported)
  check_pie_supported()
endif()
