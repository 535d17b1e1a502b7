#include "harness/evaluation/preparation.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "base/workers.h"
#include "datasets/dataset.h"

namespace assay::harness {

namespace {

// Tokens from which a plan of its own is worth while: a pass or two.
constexpr uint64_t kLeastTokens = 32768;
// Texts of rendered items that wait to be stored.
constexpr size_t kMostItemBytes = size_t{256} << 20;

struct Stopped {};

bool share_a_file(const tasks::Task& one, const tasks::Task& other) {
  return std::ranges::any_of(one.sources(), [&](const datasets::SourceFile& file) {
    return std::ranges::any_of(other.sources(), [&](const datasets::SourceFile& own) {
      return own.sha256 == file.sha256;
    });
  });
}

void append(Workload&& from, Workload& to) {
  std::ranges::move(from.tokens, std::back_inserter(to.tokens));
  std::ranges::copy(from.score, std::back_inserter(to.score));
  std::ranges::copy(from.score_references, std::back_inserter(to.score_references));
  std::ranges::move(from.generate, std::back_inserter(to.generate));
  std::ranges::copy(from.generate_references, std::back_inserter(to.generate_references));
}

}  // namespace

void append(Batch&& from, Batch& to) {
  for (Batch::Part part : from.parts) {
    part.first_score += to.work.score.size();
    to.parts.push_back(part);
  }
  append(std::move(from.work), to.work);
}

Preparation::Preparation(std::vector<TaskRun>& runs, std::vector<std::vector<results::ItemState>> states,
                         const engine::Tokenizer& tokenizer, const WorkloadPolicy& policy, int threads)
    : runs_(runs), states_(std::move(states)), tokenizer_(tokenizer), policy_(policy),
      threads_(threads), work_(runs.size()) {
  std::vector<std::vector<size_t>> kin(runs.size());  // other tasks that share a file
  for (size_t k = 0; k < runs.size(); ++k) {
    if (runs[k].finished_before) continue;
    for (const size_t other : order_) {
      if (!share_a_file(runs[k].task, runs[other].task)) continue;
      kin[k].push_back(other);
      kin[other].push_back(k);
    }
    order_.push_back(k);
  }
  // Soon something to begin with: small tasks that need not wait for another.
  std::ranges::stable_sort(order_, [&](size_t one, size_t other) {
    if (kin[one].empty() != kin[other].empty()) return kin[one].empty();
    return runs_[one].task.size() < runs_[other].task.size();
  });
  complete_at_.resize(runs.size());
  for (size_t place = 0; place < order_.size(); ++place) {
    size_t& own = complete_at_[order_[place]];
    own = std::max(own, place + 1);
    for (const size_t other : kin[order_[place]]) complete_at_[other] = std::max(complete_at_[other], place + 1);
  }
  thread_ = std::thread([this] { render(); });
}

Preparation::~Preparation() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Preparation::render() {
  try {
    const Workers workers(threads_);
    for (const size_t task : order_) {
      auto work = std::make_unique<Workload>();
      add_requests(runs_[task], static_cast<int>(task), tokenizer_, policy_, workers, states_[task],
                   [&](std::vector<results::ItemRecord> records) {
                     size_t bytes = 0;
                     for (const auto& record : records) bytes += record.context.size();
                     std::unique_lock lock(mutex_);
                     items_.push_back({task, std::move(records)});
                     item_bytes_ += bytes;
                     changed_.notify_all();
                     changed_.wait(lock, [&] { return stopping_ || item_bytes_ < kMostItemBytes; });
                     if (stopping_) throw Stopped();
                   },
                   *work);
      states_[task] = {};
      const std::lock_guard lock(mutex_);
      work_[task] = std::move(work);
      ready_.push_back(task);
      ++rendered_;
      changed_.notify_all();
    }
  } catch (const Stopped&) {
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

std::vector<size_t> Preparation::first_ones(bool all) const {
  if (rendered_ == order_.size()) return ready_;
  std::vector<size_t> first;
  if (all) return first;
  uint64_t tokens = 0;
  for (const size_t task : ready_) {
    if (complete_at_[task] > rendered_) continue;
    first.push_back(task);
    for (const engine::ScoreRequest& request : work_[task]->score) {
      if (!request.finished) tokens += request.context.size() + request.continuation.size();
    }
  }
  if (tokens < kLeastTokens) first.clear();
  return first;
}

void Preparation::keep_items(const KeepItems& keep, std::unique_lock<std::mutex>& lock) {
  while (!items_.empty()) {
    Items items = std::move(items_.front());
    items_.pop_front();
    for (const auto& record : items.records) item_bytes_ -= record.context.size();
    lock.unlock();
    changed_.notify_all();
    keep(items.task, std::move(items.records));
    lock.lock();
  }
}

void Preparation::keep_items(const KeepItems& keep) {
  std::unique_lock lock(mutex_);
  keep_items(keep, lock);
}

std::optional<Batch> Preparation::take(bool all, const KeepItems& keep) {
  if (!more()) return std::nullopt;
  std::unique_lock lock(mutex_);
  std::vector<size_t> chosen;
  for (;;) {
    keep_items(keep, lock);
    if (failure_) std::rethrow_exception(failure_);
    chosen = first_ones(all);
    if (!chosen.empty()) break;
    changed_.wait(lock);
  }
  std::erase_if(ready_, [&](size_t task) { return std::ranges::find(chosen, task) != chosen.end(); });
  taken_ += chosen.size();
  std::ranges::sort(chosen);
  Batch batch;
  for (const size_t task : chosen) {
    Workload& own = *work_[task];
    batch.parts.push_back({task, batch.work.score.size(), own.score.size()});
    append(std::move(own), batch.work);
    work_[task].reset();
  }
  return batch;
}

}  // namespace assay::harness
