#include "harness/bench/measurement.h"

#include <algorithm>

namespace assay::harness {

namespace {

constexpr double kSliceSeconds = 0.02;
constexpr double kBetweenSlices = 0.4;

double between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

void FairClock::slice() {
  arithmetic_ += limits_->products(numerics_, kSliceSeconds);
  read_ += limits_->read(kSliceSeconds);
  ++slices_;
  sliced_ = std::chrono::steady_clock::now();
}

void FairClock::start() {
  slice();
  from_ = std::chrono::steady_clock::now();
}

void FairClock::tick() {
  const Time now = std::chrono::steady_clock::now();
  if (between(sliced_, now) < kBetweenSlices) return;
  seconds_ += between(from_, now);
  slice();
  from_ = sliced_;
}

void FairClock::stop() {
  seconds_ += between(from_, std::chrono::steady_clock::now());
  slice();
}

void FairClock::rate(double flops, double bytes, double seconds, Measurement& out) const {
  if (seconds <= 0 || slices_ == 0) return;
  out.gflops = flops * 1e-9 / seconds;
  out.gb_s = bytes * 1e-9 / seconds;
  if (arithmetic_ <= 0 || read_ <= 0) return;  // limits that are not known
  const double of_arithmetic = *out.gflops / (arithmetic_ / slices_);
  const double of_read = *out.gb_s / (read_ / slices_);
  out.bound = of_arithmetic >= of_read ? Bound::compute : Bound::memory;
  out.fraction_of_peak = std::max(of_arithmetic, of_read);
}

}  // namespace assay::harness
