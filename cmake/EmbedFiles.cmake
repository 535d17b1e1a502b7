# assay_embed(TARGET NAMESPACE files...)
#
# Compiles files into TARGET: the functions
#   std::string_view NAMESPACE::embedded_file(std::string_view name);
#   std::string_view NAMESPACE::embedded_name(std::size_t index);
# return a file's bytes by its name, and the names in order (an unknown name and an index past the
# last give "" with a null data()). The target declares them where they are needed.
set(ASSAY_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/embed_files.cmake)
function(assay_embed target namespace)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${target}_embedded.cpp)
  set(inputs "")
  foreach(file ${ARGN})
    list(APPEND inputs ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${output} -DNAMESPACE=${namespace} "-DFILES=${inputs}"
            -P ${ASSAY_EMBED_SCRIPT}
    DEPENDS ${inputs} ${ASSAY_EMBED_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
