// Runs passes through the whole model: embedding, layers in order, final norm, head.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/execute/layer_store.h"
#include "engine/execute/ranks.h"
#include "engine/execute/work.h"
#include "engine/model/decoder.h"
#include "engine/ops/ops.h"

namespace assay::engine {

class Runner {
 public:
  // `preparer` and `residency`: see LayerStore. `ranks`, null where this one computes alone.
  Runner(const Checkpoint& checkpoint, const ops::Backend& backend, const ops::Backend* preparer,
         const Residency& residency, Ranks* ranks = nullptr);

  ~Runner();

  // Begins to prepare layers and head on a thread of its own, so that they are there or on their way when
  // the first pass begins. Only where nothing is streamed, and on the CPU.
  void prepare_ahead();

  const ModelConfig& config() const { return checkpoint_.config(); }
  const ops::Backend& backend() const { return backend_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  model::Decoder& decoder() { return decoder_; }
  Ranks& ranks() { return ranks_; }

  // Called after each layer; routing, readable, is null for dense layers.
  using LayerHook = std::function<void(int layer, const ops::Routing* routing)>;
  // Hidden states after the last layer, before the final norm [rows, hidden]; valid until the next
  // run, and of use where ranks().last(). Throws bad_input where a layer's hidden states overflow.
  ops::Rows run(std::span<const TokenId> ids, const model::PassInput& pass, model::KvPool& pool,
                const LayerHook& hook);

  // While one exists, a device may put off what is done (Backend::begin_step), and run() leaves checks, hooks
  // and counting of its layers to finish().
  class Step {
   public:
    // `decoding`: a pass of newest tokens or of drafts, `layers` long; else nothing is put off. Where ranks
    // compute together or weights are streamed, neither.
    Step(Runner& runner, bool decoding, int layers);
    ~Step();
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    // Throws what run() would have.
    void finish();

   private:
    Runner& runner_;
    bool open_;
  };

  // Throws bad_input: `what` names what turned out not to be finite.
  [[noreturn]] void throw_overflow(const std::string& what) const;
  // After OutOfMemory, before a smaller pass: gives back the memory of intermediate results, those that
  // run() and final_norm() returned included.
  void trim();
  // A pass without rows, beside ranks that have some (Ranks::next_pass).
  void run_idle();

  // Rows `rows` of `hidden`, normed by the final norm, [count, hidden]; valid until the next call.
  ops::Rows final_norm(ops::ConstRows hidden, std::span<const int32_t> rows);
  // The output head. `rows`: how many rows it is about to be applied to, for work().
  const ops::Matrix& head(int64_t rows);

  // What has been done so far. Bytes: the weights that were used, once a pass, and each segment's
  // keys and values.
  struct Work {
    double flops = 0, bytes = 0;
  };
  const Work& work() const { return work_; }

  // A pool of the KV rows of this rank's layers (`extra_layers` for MTP, behind them).
  model::KvPool make_pool(int64_t slots, int extra_layers = 0) const;

 private:
  // A layer of a step that has been computed, or will be.
  struct PutOff {
    int layer;
    const model::PreparedLayer* weights;
    bool routed;
  };
  void settle(const ops::StepNotes& notes);
  [[noreturn]] void throw_layer_overflow(int layer) const;
  void embed(std::span<const TokenId> ids, ops::Rows x);
  void count(const model::PreparedLayer& layer, const ops::Routing* routing, bool absorbed);
  void prepare_head();

  const Checkpoint& checkpoint_;
  const ops::Backend& backend_;
  Ranks alone_;
  Ranks& ranks_;
  LayerStore layers_;
  model::Decoder decoder_;
  model::Vector norm_;
  std::unique_ptr<ops::Matrix> head_;
  std::mutex head_mutex_;  // held while the head is prepared
  model::Buffer<float> hidden_{backend_}, normed_{backend_};
  const WorkRates expanded_rates_, absorbed_rates_;
  Work work_;
  std::vector<uint8_t> chosen_;  // experts of a layer
  bool in_step_ = false;
  std::vector<PutOff> put_off_;
  LayerHook put_off_hook_;
  std::atomic<bool> stop_ahead_ = false;
  std::future<void> ahead_;
};

}  // namespace assay::engine
