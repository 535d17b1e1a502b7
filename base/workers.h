// A fixed number of worker threads that share loops.
//
// Which thread runs which index is not determined; every index runs exactly once. Code that must
// give the same bits for any thread count writes each output from one index only.
//
// The threads are kept awake between loops that follow each other closely: generating one token
// takes more than a hundred loops of 20 - 200 us, and a library's pool, whose threads sleep at
// once, loses 10 - 100 us at each (docs/performance.md, "Sharing loops"). After kAwake without a
// loop they sleep until the next.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace assay {

class Workers {
 public:
  // How long a thread waits awake, where there is a processor for each.
  static constexpr std::chrono::microseconds kAwake{200};

  // threads >= 1, the caller among them; 0 means as many as the process may run on (its affinity
  // mask). The others are started by the first loop that needs them.
  explicit Workers(int threads = 0);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int threads() const { return threads_; }

  // The loops may be called from several threads and be nested; one at a time is shared, any other
  // meanwhile is run by its caller alone. An exception of a body ends the loop (what has not begun
  // is left out) and is rethrown by the caller.

  // Calls body(begin, end) for disjoint ranges that cover [0, n), each at most `grain` long, and
  // returns when all are done.
  void for_ranges(int64_t n, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body) const;
  // The same with at most one range a thread, whole multiples of `grain`. The same range of another
  // call with equal n runs on the same thread if that is free: what one loop over rows wrote is
  // then in that thread's cache when the next one reads it.
  void for_shares(int64_t n, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body) const;
  // Calls body(i) for every i in [0, n).
  void for_each(int64_t n, const std::function<void(int64_t)>& body) const;

 private:
  class Team;
  int threads_;
  std::unique_ptr<Team> team_;  // null for one thread
};

// Processors this process may run on.
int available_processors();

}  // namespace assay
