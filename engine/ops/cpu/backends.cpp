#include "engine/ops/cpu/backends.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/error.h"

namespace assay::engine::ops {

namespace {

Kernels resolve(Kernels kernels) {
  if (kernels != Kernels::automatic) return kernels;
  for (const Kernels fast : {Kernels::amx, Kernels::avx512, Kernels::avx2}) {
    if (kernels_available(fast)) return fast;
  }
  return Kernels::portable;
}

#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512bf16");
}

// Null, or why AMX cannot be used. Asks the kernel, once for the process and all its threads, for
// leave to keep tile registers (Documentation/arch/x86/xstate.rst): without it they fault.
const char* amx_lacking() {
  static const char* const lacking = []() -> const char* {
    constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;  // leaf 7, EDX
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 ||
        (edx & (kBf16 | kTile | kInt8)) != (kBf16 | kTile | kInt8)) {
      return "this processor lacks AMX with BF16 and INT8";
    }
    constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    if (::syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) {
      return "the operating system does not let this process use AMX tiles";
    }
    return nullptr;
  }();
  return lacking;
}
#endif

}  // namespace

bool kernels_available(Kernels kernels, std::string* why) {
  const char* lacking = nullptr;
#if defined(__x86_64__)
  if (kernels == Kernels::avx2) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("f16c")) {
      lacking = "this processor lacks AVX2, FMA or F16C";
    }
  } else if (kernels == Kernels::avx512 || kernels == Kernels::amx) {
    if (!has_avx512()) {
      lacking = "this processor lacks AVX-512 with VBMI, VNNI and BF16";
    } else if (kernels == Kernels::amx) {
      lacking = amx_lacking();
    }
  }
#else
  if (kernels == Kernels::avx2 || kernels == Kernels::avx512 || kernels == Kernels::amx) {
    lacking = "not an x86-64 processor";
  }
#endif
  if (lacking != nullptr && why != nullptr) *why = lacking;
  return lacking == nullptr;
}

const KernelTable& kernel_table(Kernels kernels) {
#if defined(__x86_64__)
  kernels = resolve(kernels);
  if (kernels == Kernels::amx) return amx_kernels();
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
