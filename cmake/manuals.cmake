# Manual pages and bash's completion, made of the program's own tables of options.
if(CMAKE_CROSSCOMPILING)
  return() # the program does not run here
endif()
include(GNUInstallDirs)
set(manuals ${PROJECT_BINARY_DIR}/manuals)
add_custom_command(OUTPUT ${manuals}/variant.bash
  COMMAND sh ${PROJECT_SOURCE_DIR}/tools/manuals.sh $<TARGET_FILE:variant> ${manuals}
  DEPENDS variant ${PROJECT_SOURCE_DIR}/tools/manuals.sh ${PROJECT_SOURCE_DIR}/tools/completion.bash
  COMMENT "Writing manual pages and completion" VERBATIM)
add_custom_target(variant_manuals ALL DEPENDS ${manuals}/variant.bash)
if(VARIANT_INSTALL)
  install(DIRECTORY ${manuals}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT program)
  install(FILES ${manuals}/variant.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME variant
    COMPONENT program)
endif()
