# SPDX-License-Identifier: GPL-3.0-or-later
# Run by CPack on what it is about to pack.
execute_process(COMMAND find "${CPACK_TEMPORARY_DIRECTORY}" -type d -exec chmod 755 {} +)
