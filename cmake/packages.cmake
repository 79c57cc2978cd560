# Debian packages by cpack: variant (the program), libvariant0, libvariant-dev, python3-variant. tools/packages.sh builds them;
# tests/packages.sh installs them on a fresh Debian.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME variant)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
# Whoever makes the packages, as Debian's tools are told; there is no address that answers for all of them.
set(maintainer "the variant authors")
if(NOT "$ENV{DEBFULLNAME}" STREQUAL "")
  set(maintainer "$ENV{DEBFULLNAME}")
endif()
set(address variant@invalid.invalid)
if(NOT "$ENV{DEBEMAIL}" STREQUAL "")
  set(address $ENV{DEBEMAIL})
endif()
set(CPACK_PACKAGE_CONTACT "${maintainer} <${address}>")
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/compress_manuals.cmake)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program library dev)
if(TARGET variant_python)
  list(APPEND CPACK_COMPONENTS_ALL python)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
  WORLD_READ WORLD_EXECUTE)

# variant_package(COMPONENT NAME SECTION DEPENDS SUMMARY TEXT...): a line of TEXT is a line of the description.
set(documents ${PROJECT_BINARY_DIR}/package-documents)
function(variant_package component name section depends summary)
  string(TOUPPER ${component} upper)
  list(JOIN ARGN "\n" text)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${summary}\n${text}" PARENT_SCOPE)
  # what Debian wants of every package: who may do what with it, and what changed
  file(MAKE_DIRECTORY ${documents}/${name})
  file(READ ${PROJECT_SOURCE_DIR}/LICENSE license)
  file(WRITE ${documents}/${name}/copyright "${license}")
  # a header of it is compiled in, and its licence wants to be told with what comes of that
  if(EXISTS /usr/share/doc/libxxhash-dev/copyright)
    file(READ /usr/share/doc/libxxhash-dev/copyright xxhash)
    file(APPEND ${documents}/${name}/copyright "\nChecksums are computed by code of xxHash, which comes with this:\n\n${xxhash}")
  endif()
  set(changes ${documents}/${name}/changelog.Debian)
  file(WRITE ${changes} "variant (${PROJECT_VERSION}-1) unstable; urgency=medium\n\n  * Of the sources' CHANGELOG.md.\n\n"
    " -- ${CPACK_PACKAGE_CONTACT}  ${VARIANT_PACKAGE_DATE}\n")
  execute_process(COMMAND gzip -9nf ${changes} COMMAND_ERROR_IS_FATAL ANY)
  install(FILES ${documents}/${name}/copyright ${changes}.gz DESTINATION share/doc/${name} COMPONENT ${component})
  # not uploaded to Debian, so that no bug of Debian's is closed; cpack calls ldconfig beside asking for it by a trigger
  file(WRITE ${documents}/${name}/overrides "${name}: initial-upload-closes-no-bugs\n")
  if(component STREQUAL library)
    file(APPEND ${documents}/${name}/overrides "${name}: maintscript-calls-ldconfig\n")
  endif()
  install(FILES ${documents}/${name}/overrides DESTINATION share/lintian/overrides RENAME ${name} COMPONENT ${component})
endfunction()
# The date of the sources, so that a build can be repeated.
execute_process(COMMAND sh -c "LC_ALL=C date -uR -d @\${SOURCE_DATE_EPOCH:-$(stat -c %Y ${PROJECT_SOURCE_DIR}/CHANGELOG.md)}"
  OUTPUT_VARIABLE VARIANT_PACKAGE_DATE OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

set(about "Visual autoregressive models (VAR) draw a picture scale by scale. This"
  "engine runs and trains them on any x86-64 processor, at full depth or with a"
  "fraction of the layers in the late scales, as each request asks.")
variant_package(program variant graphics "" "picture generation whose depth is chosen per request" ${about}
  "." "This package has the program: it draws, trains, measures, edits and serves.")
variant_package(library libvariant0 libs "" "picture generation whose depth is chosen per request - library" ${about}
  "." "This package has the shared library.")
variant_package(dev libvariant-dev libdevel
  "libvariant0 (= ${PROJECT_VERSION}-1), libopenblas-dev, libpng-dev, libjpeg-dev, libwebp-dev, libtiff-dev, libexif-dev, libgif-dev, zlib1g-dev, libcjson-dev, libseccomp-dev"
  "picture generation whose depth is chosen per request - headers" ${about}
  "." "This package has the header, the archive, and what pkg-config and CMake read.")
variant_package(python python3-variant python "python3 (>= 3.10), python3-numpy, python3-cffi-backend"
  "picture generation whose depth is chosen per request - Python" ${about}
  "." "This package has the module for Python 3.")
set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/share/debian/postinst ${PROJECT_SOURCE_DIR}/share/debian/prerm)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/share/debian/triggers)
include(CPack)
