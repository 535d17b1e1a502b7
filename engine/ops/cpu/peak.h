// What this machine can do at most right now: the denominators of every stated fraction of peak.
//
// Rates are measured on all workers at once with the instructions that the kernels of a profile use
// (AVX2: fp32 FMA also for bf16 operands; AVX-512: VDPBF16PS). Neighbours and clock change them by
// 10 % and more within seconds: measure in slices between the slices of what is compared.
#pragma once

#include "base/workers.h"
#include "engine/engine.h"

namespace assay::engine::ops {

struct Peak {
  double fp32_gflops = 0;  // multiply and add count as two
  double bf16_gflops = 0;  // of products of bf16 operands
  double int8_gops = 0;    // 0 where the kernels' instruction set has no such instruction
  double read_gb_s = 0;    // reading memory beyond every cache, 10^9 bytes a second
};

// fed_bf16: bf16 with operands from the first-level cache, where the multiplier takes them from tile
// registers that have to be loaded: what no matrix product can exceed.
enum class Limit { fp32, bf16, fed_bf16, int8, read };

// One slice of about `seconds`; GFLOP/s, GOP/s or GB/s. 0 where there is no such instruction.
// `kernels` must be available; automatic is the fastest.
double measure_limit(Limit limit, Kernels kernels, const Workers& workers, double seconds);

Peak measure_peak(Kernels kernels, const Workers& workers, double seconds_each = 0.2);

}  // namespace assay::engine::ops
