// A fixed number of worker threads (oneTBB) that share loops.
//
// Which thread runs which index is not determined; every index runs exactly once. Code that must
// give the same bits for any thread count writes each output from one index only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace assay {

class Workers {
 public:
  // threads >= 1; 0 means as many as the process may run on (its affinity mask).
  explicit Workers(int threads = 0);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int threads() const { return threads_; }

  // Calls body(begin, end) for disjoint ranges that cover [0, n), each at most `grain` long, and
  // returns when all are done. An exception of a body is rethrown here. May be nested.
  void for_ranges(int64_t n, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body) const;
  // The same with at most one range a thread, whole multiples of `grain`. The same range of another call
  // with equal n runs on the same thread if that is free: what one loop over rows wrote is then in that
  // thread's cache when the next one reads it.
  void for_shares(int64_t n, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body) const;
  // Calls body(i) for every i in [0, n).
  void for_each(int64_t n, const std::function<void(int64_t)>& body) const;

 private:
  struct Arena;
  int threads_;
  std::unique_ptr<Arena> arena_;
};

// Processors this process may run on.
int available_processors();

}  // namespace assay
