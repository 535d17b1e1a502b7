// Steps of the CUDA backend (backend_impl.h, which includes this): the queue puts launches off, and what the
// host would wait for in every layer is kept on the device up to the end.
#pragma once

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

inline bool DeviceBackend::begin_step(int layers) const {
  if (!queue_->begin_step()) return false;
  step_layers_ = std::max(layers, 1);
  step_noted_ = 0;
  step_routed_ = 0;
  step_tiles_.clear();
  return true;
}

inline void DeviceBackend::note_layer(ConstRows x, bool routed) const {
  require(step_noted_ < step_layers_ && (!routed || step_routed_ > 0), "note_layer: outside of a step");
  look_for_overflow(x, step_noted_++);
}

inline void DeviceBackend::end_step(StepNotes& out) const {
  out.first_overflow = -1;
  out.routing.clear();
  const int64_t entries = step_routed_ * routed_;
  if (step_noted_ > 0) {
    if (entries > 0) start_reading_routing(entries);
    out.first_overflow = read_overflow();
    if (entries > 0) {
      out.routing.resize(static_cast<size_t>(step_routed_));
      std::vector<int32_t> expert(static_cast<size_t>(entries));
      std::vector<float> weight(static_cast<size_t>(entries));
      queue_->finish_download(0, expert.data(), expert.size() * 4);
      queue_->finish_download(1, weight.data(), weight.size() * 4);
      for (int64_t i = 0; i < step_routed_; ++i) {
        Routing& routing = out.routing[static_cast<size_t>(i)];
        routing.expert.assign(expert.begin() + i * routed_, expert.begin() + (i + 1) * routed_);
        routing.weight.assign(weight.begin() + i * routed_, weight.begin() + (i + 1) * routed_);
      }
    }
  }
  queue_->end_step();
  step_layers_ = 0;
}

inline void DeviceBackend::drop_step() const {
  queue_->drop_step();
  step_layers_ = 0;
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
