// Renders and tokenises the tasks of a run beside the engine, which begins with those that are ready.
//
// DESCRIPTION
//
// One plan over all requests computes the fewest tokens, because prompts share prefixes. Tasks that have no
// file in common share no more than a begin token or a heading. While some tasks are still being rendered,
// those that have no file in common with them can therefore be computed, in a plan of their own.
//
// Determinism: which tasks go first depends on the machine's speed, results do not (engine.h).
//
// Threads: rendering has threads of its own. The public functions are called from one thread; callbacks
// run on it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "harness/evaluation/task_run.h"

namespace assay::harness {

// Requests of some of a run's tasks. Moving it keeps the requests' tokens where they are.
struct Batch {
  struct Part {
    size_t task = 0;  // index of the TaskRun
    size_t first_score = 0, scores = 0;  // its stretch of work.score
  };
  Workload work;
  std::vector<Part> parts;
};

void append(Batch&& from, Batch& to);

class Preparation {
 public:
  // Items of the run with index `task`, to be stored.
  using KeepItems = std::function<void(size_t task, std::vector<results::ItemRecord>)>;

  // Begins at once with the tasks that are not `finished_before`. `runs` stays as it is until this object
  // ends, but for those that take() has returned. states[k]: what the store has of run k.
  Preparation(std::vector<TaskRun>& runs, std::vector<std::vector<results::ItemState>> states,
              const engine::Tokenizer& tokenizer, const WorkloadPolicy& policy, int threads);
  // Gives up what is being rendered.
  ~Preparation();
  Preparation(const Preparation&) = delete;
  Preparation& operator=(const Preparation&) = delete;

  // Tasks that were not returned before: those that can go first, as soon as they are worth a plan of their
  // own; with `all`, or where nothing can go first, every one. Waits for them. nullopt: there are no more.
  // Throws what rendering threw.
  std::optional<Batch> take(bool all, const KeepItems& keep);
  // Hands over the items that were rendered meanwhile; to be called now and then, because rendering waits
  // when their texts take too much memory.
  void keep_items(const KeepItems& keep);
  // Whether tasks are left for take().
  bool more() const { return taken_ < order_.size(); }

 private:
  struct Items {
    size_t task;
    std::vector<results::ItemRecord> records;
  };
  void render();
  // Those of `ready_` that can go first; with `all`, all of them.
  std::vector<size_t> first_ones(bool all) const;
  void keep_items(const KeepItems& keep, std::unique_lock<std::mutex>& lock);

  std::vector<TaskRun>& runs_;
  std::vector<std::vector<results::ItemState>> states_;
  const engine::Tokenizer& tokenizer_;
  const WorkloadPolicy policy_;
  const int threads_;
  std::vector<size_t> order_;  // of rendering
  std::vector<size_t> complete_at_;  // by task: how many are rendered once those that share its files are
  size_t taken_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  size_t rendered_ = 0;  // of order_
  std::vector<size_t> ready_;  // rendered, not taken
  std::vector<std::unique_ptr<Workload>> work_;  // by task
  std::deque<Items> items_;
  size_t item_bytes_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace assay::harness
