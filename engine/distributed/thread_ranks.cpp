#include "engine/distributed/thread_ranks.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace assay::engine {

namespace {

// A queue between two threads.
template <class T>
class Queue {
 public:
  void put(T item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    changed_.notify_one();
  }
  T take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !items_.empty(); });
    return pop();
  }
  std::optional<T> take(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, most, [&] { return !items_.empty(); })) return {};
    return pop();
  }

 private:
  T pop() {
    T item = std::move(items_.front());
    items_.pop_front();
    return item;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> items_;
};

class ThreadRanks final : public RankGroup {
 public:
  ThreadRanks(int ranks, std::function<void(int, RankLink&)> body)
      : jobs_(static_cast<size_t>(ranks)), body_(std::move(body)) {
    // Signals are for the threads that know what to do with them.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int rank = 0; rank < ranks; ++rank) {
      threads_.emplace_back([this, rank] {
        Link link{*this, rank};
        body_(rank, link);
      });
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~ThreadRanks() override {
    give({});
    for (std::thread& thread : threads_) thread.join();
  }

  int size() const override { return static_cast<int>(jobs_.size()); }
  void give(const RankJob& job) override {
    cancelled_.store(false);
    for (Queue<RankJob>& jobs : jobs_) jobs.put(job);
  }
  void cancel() override { cancelled_.store(true); }
  std::optional<RankReport> next_report(std::chrono::milliseconds most) override {
    return reports_.take(most);
  }

 private:
  struct Link final : RankLink {
    Link(ThreadRanks& g, int r) : group(g), rank(r) {}
    RankJob next_job() override { return group.jobs_[static_cast<size_t>(rank)].take(); }
    void report(RankReport report) override { group.reports_.put(std::move(report)); }
    bool cancelled() override { return group.cancelled_.load(std::memory_order_relaxed); }
    ThreadRanks& group;
    const int rank;
  };

  std::deque<Queue<RankJob>> jobs_;
  Queue<RankReport> reports_;
  std::atomic<bool> cancelled_{false};
  const std::function<void(int, RankLink&)> body_;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<RankGroup> start_thread_ranks(int ranks, std::function<void(int, RankLink&)> body) {
  return std::make_unique<ThreadRanks>(ranks, std::move(body));
}

}  // namespace assay::engine
