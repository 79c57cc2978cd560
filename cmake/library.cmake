# libvariant, as programs link it: the parts behind include/variant.h in one object whose only global names are those of
# libvariant.symbols, as an archive and as a shared library, and what finds them: the targets variant::variant (here the archive, for
# add_subdirectory and FetchContent; installed the shared library) and variant::static, a CMake package and a pkg-config file.

# What the archive needs besides what pkg-config knows (VARIANT_PC_REQUIRES).
set(VARIANT_LIBS -pthread -lm)
if(VARIANT_HAS_MPI)
  list(PREPEND VARIANT_LIBS ${MPI_C_LIBRARIES})
endif()

# A part's functions call each other across files, so a static archive of them would show every vt_ name to whoever links it.
set(parts core io dist kern nn supernet tokenizer transformer features engine convert planning train eval selftest measure)
set(symbols ${CMAKE_CURRENT_LIST_DIR}/libvariant.symbols) # a name a line; tests/exported.sh compares
set(whole ${CMAKE_CURRENT_BINARY_DIR}/libvariant.o)
list(TRANSFORM parts REPLACE "(.+)" "$<TARGET_FILE:vt_\\1>" OUTPUT_VARIABLE archives)
list(TRANSFORM parts PREPEND vt_ OUTPUT_VARIABLE targets)
add_custom_command(OUTPUT ${whole}
  COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${whole}.all -Wl,--whole-archive ${archives} -Wl,--no-whole-archive
  COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${symbols} ${whole}.all ${whole}
  COMMAND ${CMAKE_COMMAND} -E rm ${whole}.all
  DEPENDS ${targets} ${symbols} COMMENT "Merging libvariant, its own names hidden" VERBATIM)
add_library(libvariant STATIC ${whole})
add_library(variant::variant ALIAS libvariant)
add_library(variant::static ALIAS libvariant)
set_source_files_properties(${whole} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
set_target_properties(libvariant PROPERTIES OUTPUT_NAME variant LINKER_LANGUAGE C)
target_include_directories(libvariant INTERFACE ${PROJECT_SOURCE_DIR}/include)
# By path rather than by imported target: those of this folder are not seen in the one that adds it.
target_link_libraries(libvariant INTERFACE ${VARIANT_NEEDED_LIBRARIES} ${GIF_LIBRARIES} ${VARIANT_LIBS})
if(VARIANT_SANITIZE)
  target_link_options(libvariant INTERFACE -fsanitize=${VARIANT_SANITIZE})
endif()

# The same object as a shared library; its names carry the version of its binary interface, which only one that breaks older
# programs changes.
if(VARIANT_SHARED)
  set(abi 0)
  set(map ${CMAKE_CURRENT_BINARY_DIR}/libvariant.map)
  file(STRINGS ${symbols} names)
  string(JOIN "; " names ${names})
  file(CONFIGURE OUTPUT ${map} CONTENT "VARIANT_@abi@ { global: @names@; local: *; };\n" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${symbols})
  add_library(libvariant_shared SHARED ${whole})
  add_dependencies(libvariant_shared libvariant) # one of the two makes the object
  add_library(variant::shared ALIAS libvariant_shared)
  set_target_properties(libvariant_shared PROPERTIES OUTPUT_NAME variant LINKER_LANGUAGE C VERSION ${PROJECT_VERSION}
    SOVERSION ${abi} LINK_DEPENDS ${map})
  target_include_directories(libvariant_shared INTERFACE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(libvariant_shared PRIVATE ${VARIANT_NEEDED_LIBRARIES} ${GIF_LIBRARIES} ${VARIANT_LIBS})
  target_link_options(libvariant_shared PRIVATE -Wl,--version-script=${map} ${VARIANT_HARDEN_LINK})
  if(VARIANT_SANITIZE)
    target_link_options(libvariant_shared PUBLIC -fsanitize=${VARIANT_SANITIZE})
  else()
    target_link_options(libvariant_shared PRIVATE -Wl,--no-undefined)
  endif()
endif()

if(NOT VARIANT_INSTALL)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(TARGETS libvariant ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
if(VARIANT_SHARED)
  install(TARGETS libvariant_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT dev)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev FILES_MATCHING PATTERN "*.h")

# Folders below the prefix are told relative to it; one that was given whole stays where it is.
file(RELATIVE_PATH VARIANT_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
foreach(kind LIBDIR INCLUDEDIR)
  set(VARIANT_PC_${kind} "\${prefix}/${CMAKE_INSTALL_${kind}}")
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${kind}}")
    set(VARIANT_PC_${kind} "${CMAKE_INSTALL_${kind}}")
  endif()
endforeach()
# OpenBLAS by its flags: its own file asks for -lgfortran with --static, which is there only where Fortran is developed.
string(REPLACE ";" " " VARIANT_PC_LIBS "${BLAS_LDFLAGS};-lgif;${VARIANT_LIBS}")
set(VARIANT_PC_PRIVATE "") # what an archive needs is whoever links it to name; a shared library knows it itself
if(VARIANT_SHARED)
  set(VARIANT_PC_PRIVATE .private)
  set(VARIANT_PC_BREAK "\nLibs.private:")
endif()
list(TRANSFORM VARIANT_PC_REQUIRES REPLACE "([<>]=?)" " \\1 ") # as the file's Requires wants it
set(required ${VARIANT_PC_REQUIRES})
list(REMOVE_ITEM required openblas)
string(REPLACE ";" ", " VARIANT_PC_REQUIRES_LINE "${required}")
list(TRANSFORM VARIANT_PC_REQUIRES REPLACE " ([<>]=?) " "\\1" OUTPUT_VARIABLE VARIANT_PACKAGE_REQUIRES)
string(REPLACE ";" " " VARIANT_PACKAGE_REQUIRES "${VARIANT_PACKAGE_REQUIRES}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/variant.pc.in ${PROJECT_BINARY_DIR}/variant.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/variant.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/variant)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/variantConfig.cmake.in ${PROJECT_BINARY_DIR}/variantConfig.cmake
  INSTALL_DESTINATION ${package} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/variantConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/variantConfig.cmake ${PROJECT_BINARY_DIR}/variantConfigVersion.cmake DESTINATION ${package}
  COMPONENT dev)
