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
