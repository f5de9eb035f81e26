# SPDX-License-Identifier: GPL-3.0-or-later
# Two Debian packages, by `cpack` in the build directory of the `package` preset: valawai-host, and valawai-host-dev with what
# an author of plugins needs.
if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  return() # a package's files lie in /usr and /etc
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL host dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_SET_DESTDIR ON) # for /etc, which is not below the prefix
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGE_CONTACT "the maintainers of valawai-host" CACHE STRING "Maintainer of the packages: NAME <ADDRESS>")
set(CPACK_PACKAGE_HOMEPAGE_URL "https://valawai.eu")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_COMPONENT_HOST_DESCRIPTION
    "Carries messages between a RabbitMQ broker and VALAWAI components that are
plugins, registers them at the Master Of VALAWAI, and keeps their log and
health file. With the echo component and a systemd unit template.")
set(CPACK_DEBIAN_HOST_PACKAGE_NAME valawai-host)
set(CPACK_DEBIAN_HOST_PACKAGE_SECTION net)
set(CPACK_DEBIAN_HOST_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_HOST_PACKAGE_DEPENDS "${MICROHTTPD_PACKAGE}") # it is not linked, so SHLIBDEPS cannot see it
set(CPACK_DEBIAN_HOST_PACKAGE_RECOMMENDS "ca-certificates, libcurl4") # the latter for traces
set(CPACK_DEBIAN_HOST_PACKAGE_CONTROL_EXTRA
    ${CMAKE_CURRENT_LIST_DIR}/install/conffiles ${CMAKE_CURRENT_LIST_DIR}/install/postinst
    ${CMAKE_CURRENT_LIST_DIR}/install/prerm ${CMAKE_CURRENT_LIST_DIR}/install/postrm)

set(CPACK_COMPONENT_DEV_DESCRIPTION
    "The header that a plugin includes, which is also its manual, and what a build
of plugins finds the host by: find_package(ValawaiHost) of CMake, and
pkg-config.")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME valawai-host-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "valawai-host (= ${PROJECT_VERSION})")

# The modes of installed files do not depend on the umask of the build.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/install/modes.cmake)

include(CPack)
