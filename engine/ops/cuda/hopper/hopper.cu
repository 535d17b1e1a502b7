// The tuned kernels, compiled for sm_90a alone, and their launch.
#include "engine/ops/cuda/hopper/launch.h"

#include <cuda.h>

#include <cstring>

#include "base/error.h"

namespace assay::engine::ops::cuda {

TensorMap make_tensor_map(const void* data, int64_t rows, int64_t padded_k, bool fp8) {
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault,
                                     &found);
#else
    cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  if (encode == nullptr)
    throw_resource("the driver has no tensor maps", "the GPU", "use --kernels portable");
  const cuuint64_t element = fp8 ? 1 : 2;
  const cuuint64_t shape[] = {static_cast<cuuint64_t>(padded_k), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(padded_k) * element};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(hopper::kStageBytesOfK / element),
                            hopper::kTileRows};
  const cuuint32_t steps[] = {1, 1};
  CUtensorMap map;
  const CUresult status =
      encode(&map, fp8 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
             const_cast<void*>(data), shape, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw_internal("tensor map: status " + std::to_string(static_cast<int>(status)),
                   "engine/ops/cuda");
  }
  TensorMap out;
  static_assert(sizeof out == sizeof map);
  std::memcpy(&out, &map, sizeof out);
  return out;
}

cudaError_t tuned_product(hopper::TunedOperands operands, bool swiglu, const void** kernel) {
  const auto function = tuned_kernel(operands, swiglu);
  *kernel = reinterpret_cast<const void*>(function);
  return cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, hopper::shared_bytes(operands));
}

}  // namespace assay::engine::ops::cuda
