# SPDX-License-Identifier: GPL-3.0-or-later
#
# valawai_add_plugin(NAME SOURCES file... ASYNCAPI asyncapi.yaml [VERSION x.y.z])
#
# Builds NAME.so and checks it as the host does when it loads it. Without VERSION it is the one that the document has in
# `info`. The AsyncAPI document is put into it byte for byte, and again when it changes; the source finds it as
# `extern const char valawai_asyncapi[]`, and the version as VALAWAI_PLUGIN_VERSION. The project's languages are C, C++ or both.
#
# Part of the tree, and of the installation: find_package(ValawaiHost) brings it.
function(valawai_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ASYNCAPI;VERSION" "SOURCES")
  if(NOT arg_SOURCES OR NOT arg_ASYNCAPI OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "valawai_add_plugin(NAME SOURCES file... ASYNCAPI asyncapi.yaml [VERSION x.y.z])")
  endif()

  # CMake silently skips a source if the project has not enabled its language.
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  foreach(source IN LISTS arg_SOURCES)
    if(source MATCHES "\\.(cc|cp|cpp|cxx|c\\+\\+|C|CPP)$")
      set(language CXX)
    elseif(source MATCHES "\\.c$")
      set(language C)
    else()
      continue()
    endif()
    get_source_file_property(given ${source} LANGUAGE)
    if(NOT given AND NOT language IN_LIST languages)
      message(FATAL_ERROR "${name}: ${source} wants the language ${language}, and the project has only: ${languages}. "
                          "Name it in project(... LANGUAGES ...), too.")
    endif()
  endforeach()
  set(extension c)
  if(NOT "C" IN_LIST languages)
    set(extension cpp)
  endif()

  get_filename_component(document ${arg_ASYNCAPI} ABSOLUTE)
  if(NOT arg_VERSION) # with it, the document may be one that the build makes
    if(NOT EXISTS ${document})
      message(FATAL_ERROR "${document}: no such file; valawai_add_plugin(${name}) names it as ASYNCAPI")
    endif()
    file(STRINGS ${document} version REGEX "^[ \t]+\"?version\"?:" LIMIT_COUNT 1)
    if(NOT version MATCHES "([0-9]+\\.[0-9]+\\.[0-9]+)")
      message(FATAL_ERROR "${document}: no version x.y.z in its info; give VERSION")
    endif()
    set(arg_VERSION ${CMAKE_MATCH_1})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${document})
  endif()
  set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/embed.cmake)
  set(embedded ${CMAKE_CURRENT_BINARY_DIR}/${name}_asyncapi.${extension})
  add_custom_command(
    OUTPUT ${embedded}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${document} -DOUTPUT=${embedded} -P ${script}
    DEPENDS ${document} ${script}
    COMMENT "Embedding ${arg_ASYNCAPI}")
  add_library(${name} MODULE ${arg_SOURCES} ${embedded})
  target_link_libraries(${name} PRIVATE ValawaiHost::plugin)
  target_compile_definitions(${name} PRIVATE VALAWAI_PLUGIN_VERSION="${arg_VERSION}")
  # Hidden is not enough in C++: an unoptimised build contains copies of the library's templates, which declare themselves
  # visible.
  set(exports ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/exports.map)
  target_link_options(${name} PRIVATE "LINKER:--version-script=${exports}")
  set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS ${exports})
  # The host refuses files that a group can write, and the umask of some systems allows them.
  add_custom_command(TARGET ${name} POST_BUILD
                     COMMAND chmod go-w $<TARGET_FILE:${name}>
                     COMMAND $<TARGET_FILE:ValawaiHost::valawai-host> check $<TARGET_FILE:${name}>
                     COMMENT "Checking ${name}.so")
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" C_VISIBILITY_PRESET hidden
                                           CXX_VISIBILITY_PRESET hidden)
endfunction()

# valawai_test_plugin(NAME INPUT in.jsonl EXPECT out.jsonl [TEST name] [REJECTED number])
#
# A test for ctest: what goes into the plugin NAME, without a broker, and what has to come out of it. Each line is
# {"topic": ..., "body": ...}; those of EXPECT as `valawai-host try` writes them. Without REJECTED no message may be rejected.
# The plugin must also end well.
# TEST: the test's name, if there are several.
function(valawai_test_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "INPUT;EXPECT;TEST;REJECTED" "")
  if(NOT arg_INPUT OR NOT arg_EXPECT OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "valawai_test_plugin(NAME INPUT in.jsonl EXPECT out.jsonl [TEST name] [REJECTED number])")
  endif()
  if(NOT arg_TEST)
    set(arg_TEST ${name})
  endif()
  if(NOT arg_REJECTED)
    set(arg_REJECTED 0)
  endif()
  get_filename_component(input ${arg_INPUT} ABSOLUTE)
  get_filename_component(expect ${arg_EXPECT} ABSOLUTE)
  add_test(NAME ${arg_TEST}
           COMMAND ${CMAKE_COMMAND} -DHOST=$<TARGET_FILE:ValawaiHost::valawai-host> -DPLUGIN=$<TARGET_FILE:${name}>
                   -DINPUT=${input} -DEXPECT=${expect} -DREJECTED=${arg_REJECTED}
                   -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/try.cmake)
endfunction()
