# SPDX-License-Identifier: GPL-3.0-or-later
# The files of `cmake --install`, in two components: `host` runs plugins, `dev` builds them. The files of `dev` refer to each
# other by relative paths, and those of `host` with a directory in them are written at installation, so any `--prefix` works.
include(CMakePackageConfigHelpers)

set(VALAWAI_INSTALL_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/ValawaiHost)
set(VALAWAI_INSTALL_PKGCONFIGDIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(parts ${CMAKE_CURRENT_LIST_DIR}/install)
set(made ${CMAKE_BINARY_DIR}/install)

# ---- host ----

install(TARGETS valawai-host EXPORT ValawaiHost RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT host)
install(
  CODE "set(VALAWAI_INSTALL_BINDIR \"${CMAKE_INSTALL_BINDIR}\")
  set(VALAWAI_INSTALL_DOCDIR \"${CMAKE_INSTALL_DOCDIR}\")
  set(VALAWAI_INSTALL_PLUGINDIR \"${VALAWAI_INSTALL_PLUGINDIR}\")
  set(VALAWAI_INSTALL_SYSCONFDIR \"${CMAKE_INSTALL_SYSCONFDIR}\")"
  SCRIPT ${parts}/at_prefix.cmake
  COMPONENT host)
install(FILES README.md CHANGELOG.md plugins.conf ${parts}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT host)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT host PATTERN man EXCLUDE)
find_program(GZIP gzip REQUIRED)
foreach(page valawai-host.1 plugins.conf.5)
  add_custom_command(OUTPUT ${made}/${page}.gz
                     COMMAND ${GZIP} -9nc ${CMAKE_SOURCE_DIR}/docs/man/${page} > ${made}/${page}.gz
                     DEPENDS docs/man/${page} VERBATIM)
  list(APPEND pages ${made}/${page}.gz)
  string(REGEX REPLACE ".*\\." "" section ${page})
  install(FILES ${made}/${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT host)
endforeach()
add_custom_target(man ALL DEPENDS ${pages})

# ---- dev ----

set_target_properties(valawai_plugin PROPERTIES EXPORT_NAME plugin)
install(TARGETS valawai_plugin EXPORT ValawaiHost)
install(FILES include/valawai/plugin.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/valawai COMPONENT dev)
install(EXPORT ValawaiHost FILE ValawaiHostTargets.cmake NAMESPACE ValawaiHost:: DESTINATION ${VALAWAI_INSTALL_CMAKEDIR}
        COMPONENT dev)
configure_package_config_file(${parts}/ValawaiHostConfig.cmake.in ${made}/ValawaiHostConfig.cmake
                              INSTALL_DESTINATION ${VALAWAI_INSTALL_CMAKEDIR} PATH_VARS VALAWAI_INSTALL_PLUGINDIR)
write_basic_package_version_file(${made}/ValawaiHostConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${made}/ValawaiHostConfig.cmake ${made}/ValawaiHostConfigVersion.cmake cmake/ValawaiPlugin.cmake
              cmake/asyncapi.S cmake/embed.cmake cmake/exports.map cmake/try.cmake
        DESTINATION ${VALAWAI_INSTALL_CMAKEDIR} COMPONENT dev)
string(REGEX REPLACE "[^/]+" ".." VALAWAI_PC_TO_PREFIX ${VALAWAI_INSTALL_PKGCONFIGDIR})
configure_file(${parts}/valawai-host.pc.in ${made}/valawai-host.pc @ONLY)
install(FILES ${made}/valawai-host.pc DESTINATION ${VALAWAI_INSTALL_PKGCONFIGDIR} COMPONENT dev)
install(FILES ${parts}/copyright DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/valawai-host-dev COMPONENT dev)
