#include "engine/ops/cpu/backends.h"

#include "base/error.h"

namespace assay::engine::ops {

namespace {

Kernels resolve(Kernels kernels) {
  if (kernels != Kernels::automatic) return kernels;
  for (const Kernels fast : {Kernels::avx512, Kernels::avx2}) {
    if (kernels_available(fast)) return fast;
  }
  return Kernels::portable;
}

}  // namespace

bool kernels_available(Kernels kernels, std::string* why) {
  if (kernels != Kernels::avx2 && kernels != Kernels::avx512) return true;
  const char* lacking = nullptr;
#if defined(__x86_64__)
  if (kernels == Kernels::avx2) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("f16c")) {
      lacking = "this processor lacks AVX2, FMA or F16C";
    }
  } else if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
             !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq") ||
             !__builtin_cpu_supports("avx512vbmi") || !__builtin_cpu_supports("avx512vnni") ||
             !__builtin_cpu_supports("avx512bf16")) {
    lacking = "this processor lacks AVX-512 with VBMI, VNNI and BF16";
  }
#else
  lacking = "not an x86-64 processor";
#endif
  if (lacking != nullptr && why != nullptr) *why = lacking;
  return lacking == nullptr;
}

const KernelTable& kernel_table(Kernels kernels) {
#if defined(__x86_64__)
  kernels = resolve(kernels);
  if (kernels == Kernels::avx512) return avx512_kernels();
  if (kernels == Kernels::avx2) return avx2_kernels();
#endif
  return portable_kernels();
}

std::unique_ptr<Backend> make_cpu_backend(Kernels kernels, Numerics numerics, const Workers& workers,
                                          bool ue8m0_activations) {
  kernels = resolve(kernels);
  std::string why;
  if (!kernels_available(kernels, &why)) {
    throw_usage("kernels " + std::string(kernels_name(kernels)) + ": " + why,
                "use --kernels automatic");
  }
  if (kernels == Kernels::reference) {
    return make_reference_backend(numerics, workers, ue8m0_activations);
  }
  return make_packed_backend(kernel_table(kernels), kernels, numerics, workers, ue8m0_activations);
}

}  // namespace assay::engine::ops
