// The limits of known devices against what their vendor publishes (dense, fp32 accumulation; boost
// clocks and memory from the data sheets).
#include "engine/ops/cuda/peak.h"

#include <gtest/gtest.h>

namespace assay::engine::ops {
namespace {

TEST(CudaPeak, PublishedFigures) {
  // A100 SXM 80 GB: 108 SM at 1410 MHz, 5120 bit at 1593 MHz. NVIDIA A100 data sheet: 312, 19.5
  // TFLOP/s, 2039 GB/s.
  const DevicePeak a100 = device_peak(8, 0, 108, 1410, 1593, 5120);
  EXPECT_NEAR(a100.bf16, 312e3, 1e3);
  EXPECT_NEAR(a100.fp32, 19.5e3, 0.1e3);
  EXPECT_NEAR(a100.read, 2039, 2);
  EXPECT_EQ(a100.fp8, 0);
  // H100 SXM: 132 SM at 1830 MHz, 5120 bit at 2619 MHz. Data sheet: 989.4, 1979 TFLOP/s, 67 TFLOP/s
  // fp32 (at 1980 MHz), 3.35 TB/s.
  const DevicePeak h100 = device_peak(9, 0, 132, 1830, 2619, 5120);
  EXPECT_NEAR(h100.bf16, 989.4e3, 1e3);
  EXPECT_NEAR(h100.fp8, 1979e3, 2e3);
  EXPECT_NEAR(h100.read, 3350, 5);
  EXPECT_NEAR(device_peak(9, 0, 132, 1980, 2619, 5120).fp32, 67e3, 0.2e3);
  // L40S: 142 SM at 2520 MHz, 384 bit GDDR6 at 18 Gbit/s (9001 MHz as CUDA counts). Data sheet:
  // 362, 733 TFLOP/s, 864 GB/s.
  const DevicePeak l40s = device_peak(8, 9, 142, 2520, 9001, 384);
  EXPECT_NEAR(l40s.bf16, 362e3, 5e3);
  EXPECT_NEAR(l40s.fp8, 733e3, 2e3);
  EXPECT_NEAR(l40s.read, 864, 1);
  // Nothing is claimed of what is not known.
  EXPECT_EQ(device_peak(12, 0, 170, 2400, 14000, 512).bf16, 0);
}

}  // namespace
}  // namespace assay::engine::ops
