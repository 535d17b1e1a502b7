#include "base/workers.h"

#include <sched.h>
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <thread>

namespace assay {

namespace {
constexpr int kMostThreads = 1024;
}

int available_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

struct Workers::Arena {
  tbb::task_arena arena;
  explicit Arena(int threads) : arena(threads) {
    // More threads than processors are allowed: results do not depend on the number. One control
    // for the whole process, since of several the smallest counts.
    static const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                           static_cast<size_t>(kMostThreads));
  }
};

Workers::Workers(int threads)
    : threads_(std::min(kMostThreads, threads > 0 ? threads : available_processors())),
      arena_(std::make_unique<Arena>(threads_)) {}
Workers::~Workers() = default;

void Workers::for_ranges(int64_t n, int64_t grain,
                         const std::function<void(int64_t, int64_t)>& body) const {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  if (threads_ == 1 || n <= grain) {
    for (int64_t begin = 0; begin < n; begin += grain) body(begin, std::min(n, begin + grain));
    return;
  }
  const int64_t chunks = (n + grain - 1) / grain;
  arena_->arena.execute([&] {
    tbb::parallel_for(
        tbb::blocked_range<int64_t>(0, chunks, 1),
        [&](const tbb::blocked_range<int64_t>& range) {
          for (int64_t chunk = range.begin(); chunk < range.end(); ++chunk) {
            body(chunk * grain, std::min(n, (chunk + 1) * grain));
          }
        },
        tbb::simple_partitioner());
  });
}

void Workers::for_shares(int64_t n, int64_t grain,
                         const std::function<void(int64_t, int64_t)>& body) const {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  const int64_t chunks = (n + grain - 1) / grain, shares = std::min<int64_t>(threads_, chunks);
  if (shares == 1) {
    body(0, n);
    return;
  }
  arena_->arena.execute([&] {
    tbb::parallel_for(
        int64_t{0}, shares,
        [&](int64_t share) {
          body(chunks * share / shares * grain,
               std::min(n, chunks * (share + 1) / shares * grain));
        },
        tbb::static_partitioner());
  });
}

void Workers::for_each(int64_t n, const std::function<void(int64_t)>& body) const {
  for_ranges(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace assay
