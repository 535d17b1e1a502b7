#include "engine/ops/cpu/backends.h"

#include "base/error.h"

namespace assay::engine::ops {

bool kernels_available(Kernels kernels, std::string* why) {
  const auto lacking = [&](const char* reason) {
    if (why != nullptr) *why = reason;
    return false;
  };
  switch (kernels) {
    case Kernels::automatic:
    case Kernels::reference:
    case Kernels::portable: return true;
    case Kernels::avx2:
#if defined(__x86_64__)
      if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
          !__builtin_cpu_supports("f16c")) {
        return lacking("this processor lacks AVX2, FMA or F16C");
      }
      return true;
#else
      return lacking("not an x86-64 processor");
#endif
    case Kernels::avx512: break;
  }
  return lacking("not built into this program");
}

std::unique_ptr<Backend> make_cpu_backend(Kernels kernels, Numerics numerics, const Workers& workers,
                                          bool ue8m0_activations) {
  if (kernels == Kernels::automatic) {
    kernels = kernels_available(Kernels::avx2) ? Kernels::avx2 : Kernels::portable;
  }
  std::string why;
  if (!kernels_available(kernels, &why)) {
    throw_usage("kernels " + std::string(kernels_name(kernels)) + ": " + why,
                "use --kernels automatic");
  }
  if (kernels == Kernels::reference) {
    return make_reference_backend(numerics, workers, ue8m0_activations);
  }
  const KernelTable& table =
#if defined(__x86_64__)
      kernels == Kernels::avx2 ? avx2_kernels() :
#endif
      portable_kernels();
  return make_packed_backend(table, kernels, numerics, workers, ue8m0_activations);
}

}  // namespace assay::engine::ops
