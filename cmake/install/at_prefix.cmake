# SPDX-License-Identifier: GPL-3.0-or-later
# Part of `cmake --install`, which may be told another prefix than the configuration was: writes the two files that have to
# name it. With /usr the settings belong to /etc. With any other prefix they stay below it.
cmake_policy(VERSION 3.20)
get_filename_component(prefix "${CMAKE_INSTALL_PREFIX}" ABSOLUTE)
foreach(directory IN ITEMS BINDIR DOCDIR PLUGINDIR SYSCONFDIR)
  set(VALAWAI_${directory} ${VALAWAI_INSTALL_${directory}})
  if(directory STREQUAL "SYSCONFDIR" AND prefix STREQUAL "/usr" AND VALAWAI_SYSCONFDIR STREQUAL "etc")
    set(VALAWAI_SYSCONFDIR /etc)
  elseif(NOT IS_ABSOLUTE "${VALAWAI_${directory}}")
    set(VALAWAI_${directory} ${prefix}/${VALAWAI_${directory}})
  endif()
endforeach()
set(VALAWAI_SETTINGSDIR ${VALAWAI_SYSCONFDIR}/valawai-host)

foreach(file IN ITEMS "${VALAWAI_SETTINGSDIR}/echo.conf" "${prefix}/lib/systemd/system/valawai-host@.service")
  get_filename_component(name "${file}" NAME)
  message(STATUS "Installing: $ENV{DESTDIR}${file}")
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${name}.in" "$ENV{DESTDIR}${file}" @ONLY NO_SOURCE_PERMISSIONS)
  list(APPEND CMAKE_INSTALL_MANIFEST_FILES "${file}")
endforeach()
