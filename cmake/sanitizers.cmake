# SPDX-License-Identifier: GPL-3.0-or-later
# Sanitizers are for the whole tree: a plugin with one ends a host without it.
set(VALAWAI_SANITIZE "" CACHE STRING "Sanitizers for host, plugins and tests: address,undefined or thread")

if(VALAWAI_SANITIZE)
  add_compile_options(-fsanitize=${VALAWAI_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${VALAWAI_SANITIZE})
endif()
