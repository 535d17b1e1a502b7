# One translation unit per instruction set; nothing else may see these flags.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  set_source_files_properties(ops/cpu/avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  # GCC 12 warns about its own _mm512_undefined_ps (GCC bug 105593).
  set_source_files_properties(ops/cpu/avx512.cpp PROPERTIES COMPILE_OPTIONS
    "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vbmi;-mavx512vnni;-mavx512bf16;-mavx2;-mfma;\
-Wno-uninitialized;-Wno-maybe-uninitialized")
  set_source_files_properties(ops/cpu/amx.cpp ops/cpu/amx_attention.cpp PROPERTIES COMPILE_OPTIONS
    "-mamx-tile;-mamx-bf16;-mamx-int8;\
-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vbmi;-mavx512vnni;-mavx512bf16;-mavx2;-mfma;\
-Wno-uninitialized;-Wno-maybe-uninitialized")
else()
  set_source_files_properties(ops/cpu/avx2.cpp ops/cpu/avx512.cpp ops/cpu/amx.cpp
    ops/cpu/amx_attention.cpp PROPERTIES HEADER_FILE_ONLY TRUE)
endif()

# CUDA: few, large translation units, in a target of their own, so that the flags and headers of the
# toolkit reach nothing else. Without the toolkit a stub says that there is none.
if(ASSAY_CUDA)
  add_library(assay_engine_cuda OBJECT ops/cuda/cuda_backend.cu)
  target_include_directories(assay_engine_cuda PRIVATE ${PROJECT_SOURCE_DIR})
  set_target_properties(assay_engine_cuda PROPERTIES CUDA_ARCHITECTURES "80;90a" CUDA_STANDARD 20
                        CUDA_STANDARD_REQUIRED ON)
  # The same source must give the same bits: no contraction that the source did not ask for.
  target_compile_options(assay_engine_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false>)
  set_source_files_properties(ops/cuda/no_cuda.cpp PROPERTIES HEADER_FILE_ONLY TRUE)
  set_source_files_properties(ops/cuda/cublaslt.cpp PROPERTIES COMPILE_OPTIONS
    "-isystem;${CUDAToolkit_INCLUDE_DIRS}")
  target_sources(assay_engine PRIVATE $<TARGET_OBJECTS:assay_engine_cuda>)
  target_link_libraries(assay_engine PRIVATE $<LINK_ONLY:CUDA::cudart_static> ${CMAKE_DL_LIBS})
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
    target_sources(assay_engine_cuda PRIVATE distributed/nccl_collective.cu)
    target_include_directories(assay_engine_cuda PRIVATE ${NCCL_INCLUDE_DIR})
    set_source_files_properties(ops/cuda/no_nccl.cpp PROPERTIES HEADER_FILE_ONLY TRUE)
    target_link_libraries(assay_engine PRIVATE ${NCCL_LIBRARY})
  else()
    message(STATUS "NCCL was not found: no collective between GPUs")
  endif()
else()
  set_source_files_properties(ops/cuda/cublaslt.cpp PROPERTIES HEADER_FILE_ONLY TRUE)
endif()
