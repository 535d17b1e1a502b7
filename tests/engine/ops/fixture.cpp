#include "tests/engine/ops/fixture.h"

#include "tests/engine/ops/cuda/emulated_backend.h"
#include "tests/engine/ops/emulated_avx512.h"

namespace assay::engine::ops {

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  for (const Kernels kernels :
       {Kernels::reference, Kernels::portable, Kernels::avx2, Kernels::avx512,
        Kernels::amx}) {
    if (kernels_available(kernels)) cases.push_back({std::string(kernels_name(kernels)), kernels});
  }
  cases.push_back({"avx512_emulated", Kernels::avx512, &emulated_avx512_kernels()});
#if defined(__x86_64__)  // what the emulation's fibres are written for
  cases.push_back({"cuda_emulated", Kernels::automatic, nullptr, true});
  cases.push_back({"cuda_tuned_emulated", Kernels::automatic, nullptr, true, true});
#endif
  return cases;
}

std::unique_ptr<Backend> make_backend(const BackendCase& c, Numerics numerics, const Workers& workers,
                                      bool ue8m0) {
  if (c.cuda) return make_emulated_cuda_backend(numerics, workers, ue8m0, true, c.tuned);
  if (c.table != nullptr) return make_packed_backend(*c.table, c.kernels, numerics, workers, ue8m0);
  return make_cpu_backend(c.kernels, numerics, workers, ue8m0);
}

// Which instruction sets the suite did not see here, in its output.
TEST(Kernels, Avx512OnHardware) {
  std::string why;
  if (!kernels_available(Kernels::avx512, &why)) {
    GTEST_SKIP() << "AVX-512 kernels were only tested through the emulation: " << why;
  }
}
TEST(Kernels, AmxOnHardware) {
  std::string why;
  if (!kernels_available(Kernels::amx, &why)) GTEST_SKIP() << "AMX kernels were not tested: " << why;
}

}  // namespace assay::engine::ops
