#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# An author of a plugin has the host installed, without its source tree: find_package(ValawaiHost) and valawai_add_plugin, or
# pkg-config. Installs the release build into a directory of its own and builds the echo from there.
set -u

# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../scripts/lib.sh" || exit 1

into=$(mktemp -d) || exit 1
at_exit rm -rf "$into"
prefix="$into/a prefix" kit="$into/kit" plain="$into/plain"

broken() {
    echo "installed.sh: $1"
    exit 1
}

cd "$root" && cmake --preset release && cmake --build --preset release --target valawai-host echo || exit 1
cmake --install build/release --prefix "$prefix" || exit 1
# Moved: what an author builds with must not know where it was installed to.
mv "$prefix" "$into/another prefix"
prefix="$into/another prefix"
libdir=$(dirname "$(dirname "$(find "$prefix" -name valawai-host.pc)")")

echo "--- find_package"
mkdir -p "$kit" && cp plugins/echo/* "$kit" || exit 1
cat >"$kit/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.20)
project(outside LANGUAGES C)
find_package(ValawaiHost 0.1 REQUIRED)
valawai_add_plugin(outside SOURCES echo.c ASYNCAPI asyncapi.yaml)
target_link_libraries(outside PRIVATE json-c)
message(STATUS "plugins in ${ValawaiHost_PLUGIN_DIR}")
END
{ cmake -S "$kit" -B "$kit/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" && cmake --build "$kit/build"; } ||
    broken "the echo does not build by find_package(ValawaiHost)"
symbols=$(nm -D --defined-only --format=posix "$kit/build/outside.so" | cut -d ' ' -f 1)
[ "$symbols" = valawai_plugin_entry ] || broken "it exports: $symbols"

# The build checks what it has built: a document that is no contract ends it.
sed -i 's/^asyncapi: .*/asyncapi: 1.0.0/' "$kit/asyncapi.yaml"
! cmake --build "$kit/build" || broken "a bad document is not found at the build"

echo "--- pkg-config"
export PKG_CONFIG_PATH="$libdir/pkgconfig"
mkdir -p "$plain" || exit 1
[ "$(pkg-config --modversion valawai-host)" = "$("$prefix/bin/valawai-host" --version | cut -d ' ' -f 2)" ] ||
    broken "the version of valawai-host.pc is not the program's"
eval "plugindir=$(pkg-config --variable=plugindir valawai-host)" # eval: it quotes the blank
# shellcheck disable=SC2154
[ -e "$plugindir/echo.so" ] || broken "plugindir is not where echo.so is"
cat >"$plain/header.c" <<'END'
#include <valawai/plugin.h>
const char *version(void);
const char *version(void) { return VALAWAI_PLUGIN_SYMBOL; }
END
# shellcheck disable=SC2046 # several words
eval gcc -Wall -Wextra -Werror -c -o "'$plain/header.o'" "'$plain/header.c'" $(pkg-config --cflags valawai-host) ||
    broken "the header is not found by pkg-config"

"$prefix/bin/valawai-host" check "$libdir/valawai-host/plugins/echo.so" || broken "the installed echo is not good"
echo "built by find_package and by pkg-config from an installation"
