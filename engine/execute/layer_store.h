// The prepared weights of the layers: resident, or streamed behind the computation.
//
// Resident weights are prepared when first asked for and stay. When all of them exceed the budget,
// part is streamed: read and prepared on a second thread while the layer before computes (two
// buffers), and dropped after use. Streamed are the routed experts alone where the rest of every
// layer fits the budget, else whole layers; leading layers stay resident as far as the budget goes.
// A device copies what is streamed from host memory, where it was kept ready packed the first time, as
// far as that goes (`host_bytes`); the rest is read and packed every time. Bits are the same.
//
// One thread acquires; prepare_ahead may run beside it on another where nothing is streamed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <future>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/execute/ranks.h"
#include "engine/model/kept_layer.h"
#include "engine/model/layer.h"
#include "engine/ops/ops.h"

namespace assay::engine {

// What stays in memory of a model that is streamed.
struct Residency {
  bool all_but_experts = false;  // of every layer; `bytes` is for experts then
  size_t bytes = 0;              // of what else may stay, beside the two buffers
  size_t host_bytes = 0;         // a device's: host memory for copies of what is streamed
};

class LayerStore {
 public:
  // `preparer` packs layers like the computing backend, on the second thread; null where all layers
  // stay resident. `range`: the layers that will be asked for.
  LayerStore(const Checkpoint& checkpoint, const ops::Backend& backend,
             const ops::Backend* preparer, const Residency& residency, LayerRange range);
  ~LayerStore();

  LayerRange range() const { return range_; }
  bool streams() const { return preparer_ != nullptr; }
  // Layer `index`, valid until the next call. `absorbed`: with the weights of MLA's absorbed form.
  // Layers are expected in ascending order, over and over; any order works.
  const model::PreparedLayer& acquire(int index, bool absorbed);
  // Prepares layer after layer until all are there, `stop` is set or one fails: acquire() then meets the
  // same failure and throws it. Only without a preparer, and where the backend prepares beside its ops.
  void prepare_ahead(const std::atomic<bool>& stop);

 private:
  struct Slot {
    std::unique_ptr<model::PreparedLayer> layer;  // resident, perhaps without its experts
    std::unique_ptr<model::KeptLayer> kept;       // of the streamed part
    bool complete = false;                        // nothing to be streamed
    bool claimed = false;                         // a thread is preparing it (nothing is streamed)
  };
  // What a layer lacks.
  struct Missing {
    std::unique_ptr<model::PreparedLayer> layer;  // null where it is resident
    model::PreparedExperts experts;
  };
  Missing prepare(int index, bool absorbed, const ops::Backend& backend);
  Missing load_kept(int index, bool absorbed, const ops::Backend& backend);
  void keep(Slot& slot, const Missing& missing, const ops::Backend& backend);
  // Makes a resident slot complete unless it is or, where `wait` is false, another thread is at it.
  void complete(int index, bool absorbed, bool wait);
  void drop_current();
  void start_next(int after, bool absorbed);

  const Checkpoint& checkpoint_;
  const ops::Backend& backend_;
  const ops::Backend* preparer_;
  const bool keeps_layers_;
  const LayerRange range_;
  size_t resident_left_;
  size_t host_left_;  // of whoever prepares: no two threads do at the same time
  std::vector<Slot> slots_;
  std::mutex mutex_;                // complete and claimed of slots, where nothing is streamed
  std::condition_variable changed_;
  int current_ = -1;  // the layer in use whose streamed part is to be dropped
  int next_index_ = -1;
  std::future<Missing> next_;
};

}  // namespace assay::engine
