#include "engine/engine.h"
#include "engine/ops/ops.h"

namespace assay::engine {

std::vector<KernelSupport> kernel_support() {
  std::vector<KernelSupport> out;
  for (const Kernels kernels :
       {Kernels::reference, Kernels::portable, Kernels::avx2, Kernels::avx512,
        Kernels::amx}) {
    KernelSupport one{kernels, true, {}};
    one.available = ops::kernels_available(kernels, &one.why);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace assay::engine
