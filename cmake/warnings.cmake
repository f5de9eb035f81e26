# SPDX-License-Identifier: GPL-3.0-or-later
# Warnings are errors where a machine reads them (CI); a person may go on with a newer compiler.
option(VALAWAI_WERROR "Warnings are errors" OFF)

add_compile_options(-Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes)
if(VALAWAI_WERROR)
  add_compile_options(-Werror)
endif()
