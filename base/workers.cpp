#include "base/workers.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

namespace assay {

namespace {

constexpr int kMostThreads = 1024;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

int available_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

// The caller and its helpers. A loop is a number of parts; `state_` says whether one is open and
// how many helpers are inside. Helpers may enter an open loop and needn't: the caller closes it
// when no part is left and waits only for those inside, so that a helper that sleeps delays nobody.
// What a loop consists of is written while none is open and nobody inside.
class Workers::Team {
 public:
  explicit Team(int threads)
      : threads_(threads), taken_(new std::atomic<bool>[static_cast<size_t>(threads)]) {}

  ~Team() {
    state_.fetch_or(kStop);
    state_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }

  // Runs part(i) for 0 <= i < parts. owned (parts <= threads): thread i takes part i if it comes in
  // time. False, and nothing done, if another loop is running.
  bool run(int64_t parts, bool owned, const std::function<void(int64_t)>& part) {
    if (busy_.exchange(true, std::memory_order_acquire)) return false;
    if (helpers_.empty()) start();
    part_ = &part;
    parts_ = parts;
    owned_ = owned;
    next_.store(0, std::memory_order_relaxed);
    if (owned) {
      for (int64_t i = 0; i < parts; ++i) {
        taken_[static_cast<size_t>(i)].store(false, std::memory_order_relaxed);
      }
    }
    error_ = nullptr;
    failed_.store(false, std::memory_order_relaxed);
    // Nobody is inside: only this thread changes the state now.
    loop_ += kLoop;
    state_.store(loop_ | kOpen);
    state_.notify_all();  // no system call where nobody sleeps

    take_parts(0);

    state_.fetch_and(~kOpen);
    wait_until_empty();
    const std::exception_ptr error = std::exchange(error_, nullptr);
    busy_.store(false, std::memory_order_release);
    if (error) std::rethrow_exception(error);
    return true;
  }

 private:
  // state_: helpers inside, whether the loop is open, whether the team ends, number of the loop.
  static constexpr uint32_t kInside = (1u << 11) - 1, kOpen = 1u << 11, kStop = 1u << 12,
                            kLoop = 1u << 13;
  static_assert(kMostThreads <= static_cast<int>(kInside));

  void start() {
    // Signals are for the threads that know what to do with them.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    awake_ = threads_ <= available_processors();
    try {
      for (int i = 1; i < threads_; ++i) helpers_.emplace_back([this, i] { help(i); });
    } catch (...) {
      // (fewer helpers than asked for, perhaps none: loops still end)
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void take_parts(int thread) {
    const auto run = [this](int64_t i) {
      if (failed_.load(std::memory_order_relaxed)) return;
      try {
        (*part_)(i);
      } catch (...) {
        if (!failed_.exchange(true)) error_ = std::current_exception();
      }
    };
    if (!owned_) {
      for (int64_t i = next_++; i < parts_; i = next_++) run(i);
      return;
    }
    for (int64_t i = 0; i < parts_; ++i) {
      const int64_t mine = (thread + i) % parts_;
      if (!taken_[static_cast<size_t>(mine)].exchange(true)) run(mine);
    }
  }

  void help(int thread) {
    uint32_t seen = 0;  // the loop last looked at
    for (;;) {
      uint32_t state = wait_for_loop(seen);
      if ((state & kStop) != 0) return;
      seen = state / kLoop;
      bool inside = false;
      while ((state & kOpen) != 0 && state / kLoop == seen) {
        if (state_.compare_exchange_weak(state, state + 1)) {
          inside = true;
          break;
        }
      }
      if (!inside) continue;
      take_parts(thread);
      // The last one out of a closed loop: its caller may sleep.
      if ((state_.fetch_sub(1) & (kInside | kOpen)) == 1) state_.notify_all();
    }
  }

  // Returns a state that is open or ending, and not loop `seen`.
  uint32_t wait_for_loop(uint32_t seen) const {
    return wait_for(
        [seen](uint32_t s) { return (s & kStop) != 0 || ((s & kOpen) != 0 && s / kLoop != seen); });
  }
  void wait_until_empty() const {
    wait_for([](uint32_t s) { return (s & kInside) == 0; });
  }

  // Awake for a while, then asleep.
  template <class Wanted>
  uint32_t wait_for(const Wanted& wanted) const {
    using Clock = std::chrono::steady_clock;
    uint32_t state = state_.load();
    if (awake_ && !wanted(state)) {
      const auto until = Clock::now() + kAwake;
      do {
        for (int i = 0; i < 16 && !wanted(state); ++i) {
          pause();
          state = state_.load();
        }
      } while (!wanted(state) && Clock::now() < until);
    }
    while (!wanted(state)) {
      state_.wait(state);
      state = state_.load();
    }
    return state;
  }

  const int threads_;
  bool awake_ = false;
  std::vector<std::thread> helpers_;
  uint32_t loop_ = 0;
  alignas(64) std::atomic<uint32_t> state_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  std::atomic<bool> busy_{false};
  std::atomic<bool> failed_{false};
  const std::function<void(int64_t)>* part_ = nullptr;
  int64_t parts_ = 0;
  bool owned_ = false;
  std::unique_ptr<std::atomic<bool>[]> taken_;
  std::exception_ptr error_;
};

Workers::Workers(int threads)
    : threads_(std::min(kMostThreads, threads > 0 ? threads : available_processors())),
      team_(threads_ > 1 ? std::make_unique<Team>(threads_) : nullptr) {}
Workers::~Workers() = default;

void Workers::for_ranges(int64_t n, int64_t grain,
                         const std::function<void(int64_t, int64_t)>& body) const {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  const int64_t parts = (n + grain - 1) / grain;
  const auto part = [&](int64_t i) { body(i * grain, std::min(n, (i + 1) * grain)); };
  if (team_ != nullptr && parts > 1 && team_->run(parts, false, part)) return;
  for (int64_t i = 0; i < parts; ++i) part(i);
}

void Workers::for_shares(int64_t n, int64_t grain,
                         const std::function<void(int64_t, int64_t)>& body) const {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  const int64_t chunks = (n + grain - 1) / grain, shares = std::min<int64_t>(threads_, chunks);
  const auto share = [&](int64_t i) {
    body(chunks * i / shares * grain, std::min(n, chunks * (i + 1) / shares * grain));
  };
  if (team_ != nullptr && shares > 1 && team_->run(shares, true, share)) return;
  for (int64_t i = 0; i < shares; ++i) share(i);
}

void Workers::for_each(int64_t n, const std::function<void(int64_t)>& body) const {
  for_ranges(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace assay
