#include "engine/ops/cpu/backends.h"

#include "base/error.h"

namespace assay::engine::ops {

bool kernels_available(Kernels kernels, std::string* why) {
  switch (kernels) {
    case Kernels::automatic:
    case Kernels::reference:
    case Kernels::portable: return true;
    case Kernels::avx2:
    case Kernels::avx512: break;
  }
  if (why != nullptr) *why = "not built into this program";
  return false;
}

std::unique_ptr<Backend> make_cpu_backend(Kernels kernels, Numerics numerics, const Workers& workers,
                                          bool ue8m0_activations) {
  if (kernels == Kernels::automatic) kernels = Kernels::portable;
  std::string why;
  if (!kernels_available(kernels, &why)) {
    throw_usage("kernels " + std::string(kernels_name(kernels)) + ": " + why,
                "use --kernels automatic");
  }
  return make_reference_backend(kernels, numerics, workers, ue8m0_activations);
}

}  // namespace assay::engine::ops
