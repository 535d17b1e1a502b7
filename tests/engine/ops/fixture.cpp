#include "tests/engine/ops/fixture.h"

namespace assay::engine::ops {

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  for (const Kernels kernels :
       {Kernels::reference, Kernels::portable, Kernels::avx2, Kernels::avx512}) {
    if (kernels_available(kernels)) cases.push_back({std::string(kernels_name(kernels)), kernels});
  }
  return cases;
}

std::unique_ptr<Backend> make_backend(const BackendCase& c, Numerics numerics, const Workers& workers,
                                      bool ue8m0) {
  return make_cpu_backend(c.kernels, numerics, workers, ue8m0);
}

}  // namespace assay::engine::ops
