// A decoding step put off, compared with earlier ones and handed over as a graph. Plain C++, needs no
// CUDA: a StepDevice does what is decided here (queue.h, and the tests' emulation of it).
//
// DESCRIPTION
//
// Between begin() and end(), launches are listed instead of made. flush() makes them: whatever wants
// results, or has to come behind them without being a launch, calls it first, so that a step is one list
// or several. A list is compared with those kept:
//   - its shape (kernels, grids) is new: the launches are made one by one, the list is remembered;
//   - seen before: a graph is built of it, and runs;
//   - there is a graph: it gets the arguments that differ, and runs.
// A step that never comes back, as when a batch shrinks each time, so costs what it did without graphs.
// The graph's arguments are always those of the list at hand: nothing of an earlier step is trusted.
//
// Data staged for the launches is copied before they are made (staging.h). Memory released in a step is
// released behind its launches.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/ops/cuda/launch_list.h"
#include "engine/ops/cuda/staging.h"

namespace assay::engine::ops {

class StepGraph {
 public:
  virtual ~StepGraph() = default;
};

class StepDevice {
 public:
  virtual ~StepDevice() = default;
  // All in order, and none waits.
  virtual void copy_staged(size_t begin, size_t bytes) = 0;  // the device's place from the host's
  virtual void launch_all(const LaunchList& list) = 0;
  virtual std::unique_ptr<StepGraph> build(const LaunchList& list) = 0;  // null: no memory for it
  virtual void set_args(StepGraph& graph, const LaunchList& list, size_t i) = 0;
  virtual void run(StepGraph& graph) = 0;
  virtual void free(std::byte* memory) = 0;
};

// What has been done since the start.
struct StepCounts {
  uint64_t steps = 0, dropped = 0;
  uint64_t launches = 0;      // listed
  uint64_t one_by_one = 0;    // launches made outside of graphs
  uint64_t built = 0, runs = 0;  // graphs
  uint64_t patched = 0;       // launches of graphs that got another argument
  uint64_t copied_bytes = 0;  // staged
};

class StepRecorder {
 public:
  explicit StepRecorder(StepDevice& device) : device_(device) {}

  Staging& staging() { return staging_; }
  bool recording() const { return recording_; }
  void begin();
  // kNoRoom: the step goes on without being put off.
  size_t stage(const void* values, size_t bytes);
  void add(const void* kernel, std::array<unsigned, 3> grid, unsigned threads, size_t shared,
           const void* args, size_t bytes) {
    ++counts_.launches;
    list_.add(kernel, grid, threads, shared, args, bytes);
  }
  // False where nothing is put off: to be released at once.
  bool release(std::byte* memory);
  bool holds_memory() const { return !released_.empty(); }
  void flush();
  void end();
  // Forgets what was put off. Does not throw.
  void drop();
  // Gives back the graphs.
  void forget() { kept_.clear(); }
  const StepCounts& counts() const { return counts_; }

 private:
  struct Kept {
    LaunchList list;                   // with the graph's arguments
    std::unique_ptr<StepGraph> graph;  // null: seen once
    uint64_t used = 0;
  };
  void run(LaunchList& list);
  Kept* find(const LaunchList& list);
  void free_released();

  StepDevice& device_;
  Staging staging_;
  bool recording_ = false;
  LaunchList list_;
  std::vector<std::byte*> released_;
  std::vector<Kept> kept_;
  uint64_t clock_ = 0;
  StepCounts counts_;
};

}  // namespace assay::engine::ops
