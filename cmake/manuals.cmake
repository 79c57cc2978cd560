# Manual pages and the completion of bash, zsh and fish, made of the program's own tables of options.
if(CMAKE_CROSSCOMPILING)
  return() # the program does not run here
endif()
include(GNUInstallDirs)
set(manuals ${PROJECT_BINARY_DIR}/manuals)
add_custom_command(OUTPUT ${manuals}/variant.bash
  COMMAND sh ${PROJECT_SOURCE_DIR}/tools/manuals.sh $<TARGET_FILE:variant> ${manuals}
  DEPENDS variant ${PROJECT_SOURCE_DIR}/tools/manuals.sh ${PROJECT_SOURCE_DIR}/tools/completion.bash
    ${PROJECT_SOURCE_DIR}/tools/completion.zsh ${PROJECT_SOURCE_DIR}/tools/completion.fish
  BYPRODUCTS ${manuals}/variant.zsh ${manuals}/variant.fish
  COMMENT "Writing manual pages and completion" VERBATIM)
add_custom_target(variant_manuals ALL DEPENDS ${manuals}/variant.bash)
if(VARIANT_INSTALL)
  install(DIRECTORY ${manuals}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT program)
  install(FILES ${manuals}/variant.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME variant
    COMPONENT program)
  # where each shell looks for what packages bring
  install(FILES ${manuals}/variant.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _variant COMPONENT program)
  install(FILES ${manuals}/variant.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT program)
endif()
