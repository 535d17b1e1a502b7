#include "engine/ops/cuda/step.h"

#include <algorithm>
#include <utility>

namespace assay::engine::ops {

namespace {

constexpr size_t kMostKept = 24;       // lists, a few of each batch size that is in use
constexpr size_t kLeastOfAGraph = 4;   // launches; below, a graph spares nothing

}  // namespace

void StepRecorder::begin() {
  ++counts_.steps;
  staging_.begin();
  recording_ = true;
}

size_t StepRecorder::stage(const void* values, size_t bytes) {
  const size_t at = staging_.place(values, bytes);
  if (at == Staging::kNoRoom) end();
  return at;
}

bool StepRecorder::release(std::byte* memory) {
  if (!recording_ || list_.empty()) return false;
  released_.push_back(memory);
  return true;
}

void StepRecorder::flush() {
  for (const Staging::Range& range : staging_.take_changed()) {
    device_.copy_staged(range.begin, range.end - range.begin);
    counts_.copied_bytes += range.end - range.begin;
  }
  if (!list_.empty()) {
    run(list_);
    list_.clear();
  }
  free_released();
}

void StepRecorder::run(LaunchList& list) {
  if (list.size() < kLeastOfAGraph) {
    counts_.one_by_one += list.size();
    device_.launch_all(list);
    return;
  }
  Kept* kept = find(list);
  if (kept == nullptr) {
    counts_.one_by_one += list.size();
    device_.launch_all(list);
    if (kept_.size() == kMostKept) {
      kept_.erase(std::ranges::min_element(kept_, {}, &Kept::used));
    }
    kept_.push_back({std::move(list), nullptr, ++clock_});
    return;
  }
  kept->used = ++clock_;
  if (!kept->graph) {
    kept->list = list;
    kept->graph = device_.build(list);
    if (!kept->graph) {
      counts_.one_by_one += list.size();
      device_.launch_all(list);
      return;
    }
    ++counts_.built;
  } else {
    for (size_t i = 0; i < list.size(); ++i) {
      if (list.same_args(kept->list, i)) continue;
      device_.set_args(*kept->graph, list, i);
      kept->list.copy_args(list, i);
      ++counts_.patched;
    }
  }
  device_.run(*kept->graph);
  ++counts_.runs;
}

StepRecorder::Kept* StepRecorder::find(const LaunchList& list) {
  for (Kept& kept : kept_) {
    if (kept.list.same_shape(list)) return &kept;
  }
  return nullptr;
}

void StepRecorder::end() {
  flush();
  recording_ = false;
}

void StepRecorder::drop() {
  ++counts_.dropped;
  list_.clear();
  recording_ = false;
  free_released();
}

void StepRecorder::free_released() {
  for (std::byte* memory : released_) device_.free(memory);
  released_.clear();
}

}  // namespace assay::engine::ops
