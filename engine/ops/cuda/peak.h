// What a GPU can do at its highest clocks, from its attributes: the limits that `assay bench`
// divides by.
//
// Dense products with fp32 accumulation; FLOP a clock and multiprocessor from the vendor's
// architecture papers (checked against published figures in tests/engine/ops/cuda/peak_test.cpp).
// 0: not known, or the device has no such instruction.
#pragma once

namespace assay::engine::ops {

struct DevicePeak {
  double fp32 = 0, bf16 = 0, fp8 = 0;  // GFLOP/s
  double read = 0;                     // GB/s
};

constexpr DevicePeak device_peak(int major, int minor, int multiprocessors, double clock_mhz,
                                 double memory_clock_mhz, int bus_bits) {
  double fp32 = 0, bf16 = 0, fp8 = 0;  // FLOP a clock and multiprocessor
  if (major == 8 && minor == 0) {
    fp32 = 128, bf16 = 2048;
  } else if (major == 8 && minor == 9) {
    fp32 = 256, bf16 = 1024, fp8 = 2048;
  } else if (major == 8) {
    fp32 = 256, bf16 = 1024;
  } else if (major == 9) {
    fp32 = 256, bf16 = 4096, fp8 = 8192;
  }
  const double giga = multiprocessors * clock_mhz * 1e-3;
  // Two transfers a memory clock.
  return {fp32 * giga, bf16 * giga, fp8 * giga, 2 * memory_clock_mhz * 1e6 * bus_bits / 8 * 1e-9};
}

}  // namespace assay::engine::ops
