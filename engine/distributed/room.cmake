# Ranks that are processes, where MPI is there (Debian: libopenmpi-dev). The C interface alone.
option(ASSAY_MPI "Use MPI where it is found" ON)
if(ASSAY_MPI)
  find_package(MPI COMPONENTS CXX QUIET)
endif()
if(MPI_CXX_FOUND)
  set_source_files_properties(distributed/no_mpi.cpp PROPERTIES HEADER_FILE_ONLY TRUE)
  set_source_files_properties(distributed/mpi_collective.cpp distributed/mpi_processes.cpp PROPERTIES
    COMPILE_DEFINITIONS "OMPI_SKIP_MPICXX;MPICH_SKIP_MPICXX" COMPILE_OPTIONS "-isystem;$<JOIN:${MPI_CXX_INCLUDE_DIRS},;-isystem;>")
  target_link_libraries(assay_engine PRIVATE ${MPI_CXX_LIBRARIES})
  message(STATUS "MPI: ${MPI_CXX_LIBRARIES}")
else()
  set_source_files_properties(distributed/mpi_collective.cpp distributed/mpi_processes.cpp PROPERTIES
    HEADER_FILE_ONLY TRUE)
  message(STATUS "MPI was not found: ranks are threads of one process")
endif()
