#include "engine/ops/cpu/peak.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "engine/ops/cpu/aligned_buffer.h"
#include "engine/ops/cpu/backends.h"

namespace assay::engine::ops {

namespace {

constexpr size_t kReadPiece = size_t{1} << 20;

// Beyond every cache: twice the last one, where the system says how large it is.
size_t read_bytes() {
  const long cache = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  const size_t wanted = std::max(size_t{256} << 20, 2 * static_cast<size_t>(std::max(0L, cache)));
  return std::min(wanted, size_t{2} << 30) / kReadPiece * kReadPiece;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Calls `work` (which returns what it did) on all workers until the time is over; amount a second.
double rate(const Workers& workers, double seconds, const std::function<double(int64_t)>& work) {
  const auto start = std::chrono::steady_clock::now();
  double amount = 0;
  const int64_t tasks = int64_t{8} * workers.threads();  // several each: no worker ends early
  std::vector<double> done(static_cast<size_t>(tasks));
  int64_t round = 0;
  do {
    workers.for_each(tasks,
                     [&](int64_t i) { done[static_cast<size_t>(i)] = work(round * tasks + i); });
    for (const double d : done) amount += d;
    ++round;
  } while (seconds_since(start) < seconds);
  return amount / seconds_since(start);
}

double read_rate(const KernelTable& table, const Workers& workers, double seconds) {
  static const size_t bytes = read_bytes();
  static const AlignedBuffer buffer = [] {
    AlignedBuffer b(bytes);
    std::memset(b.as<char>(), 1, bytes);
    return b;
  }();
  static std::atomic<size_t> next{0};  // a slice goes on where the last one ended
  return rate(workers, seconds, [&](int64_t) {
    const size_t piece = next++ % (bytes / kReadPiece);
    table.read(buffer.as<char>() + piece * kReadPiece, kReadPiece);
    return static_cast<double>(kReadPiece);
  });
}

}  // namespace

double measure_limit(Limit limit, Kernels kernels, const Workers& workers, double seconds) {
  const KernelTable& table = kernel_table(kernels);
  if (limit == Limit::read) return read_rate(table, workers, seconds) * 1e-9;
  const auto work = limit == Limit::fp32       ? table.busy_fp32
                    : limit == Limit::bf16     ? table.busy_bf16
                    : limit == Limit::fed_bf16 ? table.fed_bf16
                                               : table.busy_int8;
  if (work == nullptr) return 0;
  return rate(workers, seconds, [&](int64_t) { return work(20000); }) * 1e-9;
}

Peak measure_peak(Kernels kernels, const Workers& workers, double seconds_each) {
  Peak peak;
  for (const auto& [limit, value] : {std::pair{Limit::fp32, &peak.fp32_gflops},
                                    {Limit::bf16, &peak.bf16_gflops},
                                    {Limit::int8, &peak.int8_gops},
                                    {Limit::read, &peak.read_gb_s}}) {
    for (int slice = 0; slice < 4; ++slice) {  // the best of four: a neighbour may take one
      *value = std::max(*value, measure_limit(limit, kernels, workers, seconds_each / 4));
    }
  }
  return peak;
}

}  // namespace assay::engine::ops
