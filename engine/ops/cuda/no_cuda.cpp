// What a program that was built without CUDA says of it (left out where ASSAY_CUDA is on).
#include "base/error.h"
#include "engine/ops/cuda/cuda_backend.h"

namespace assay::engine::ops {

CudaSupport cuda_support() {
  CudaSupport support;
  support.why = "this program was built without CUDA";
  return support;
}

std::unique_ptr<Backend> make_cuda_backend(int, Numerics, const Workers&, bool, bool) {
  throw_resource("this program was built without CUDA", {},
                 "build it with cmake --preset cuda, or use --device cpu");
}

}  // namespace assay::engine::ops
