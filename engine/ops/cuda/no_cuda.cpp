// What a program that was built without CUDA says of it (left out where ASSAY_CUDA is on).
#include "base/error.h"
#include "engine/ops/cuda/cublaslt.h"
#include "engine/ops/cuda/cuda_backend.h"

namespace assay::engine::ops {

CudaSupport cuda_support() {
  CudaSupport support;
  support.why = "this program was built without CUDA";
  return support;
}

CudaDevice usable_cuda_device(int) {
  throw_resource("this program was built without CUDA", {},
                 "build it with cmake --preset cuda, or use --device cpu");
}

std::unique_ptr<Backend> make_cuda_backend(int device, Numerics, const Workers&, bool, bool, bool,
                                           bool) {
  usable_cuda_device(device);
  return nullptr;
}

std::unique_ptr<CublasLt> open_cublaslt(int, std::string& why) {
  why = "this program was built without CUDA";
  return nullptr;
}

}  // namespace assay::engine::ops
