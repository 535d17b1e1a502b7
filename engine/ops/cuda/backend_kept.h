// Weights that wait in pinned host memory, of the CUDA backend (backend_impl.h, which includes this).
#pragma once

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

// Taken from the device rather than from the file: packed already, whatever the mode made of them.
inline std::unique_ptr<KeptMatrix> DeviceBackend::keep(const Matrix& matrix) const {
  const DeviceMatrix& w = on_device(matrix);
  auto kept = std::make_unique<DeviceKeptMatrix>();
  kept->n = w.n;
  kept->k = w.k;
  for (const DevicePart& part : w.parts) {
    const size_t weights = part.weights.bytes(), scales = part.scale.bytes();
    PinnedArray memory(*queue_, weights + scales);
    if (memory.data() == nullptr) return nullptr;
    queue_->download(memory.data(), part.weights.data(), weights);
    if (scales > 0) queue_->download(memory.data() + weights, part.scale.data(), scales);
    kept->bytes += weights + scales;
    kept->parts.push_back({part.shape, weights, scales, std::move(memory)});
  }
  return kept;
}

inline std::unique_ptr<Matrix> DeviceBackend::load(const KeptMatrix& kept) const {
  const auto& from = static_cast<const DeviceKeptMatrix&>(kept);
  auto matrix = std::make_unique<DeviceMatrix>();
  matrix->n = from.n;
  matrix->k = from.k;
  matrix->bytes = from.bytes;
  for (const DeviceKeptMatrix::Part& host : from.parts) {
    DevicePart part;
    part.shape = host.shape;
    part.weights = DeviceArray(*queue_, host.weight_bytes);
    queue_->copy_pinned(part.weights.data(), host.memory.data(), host.weight_bytes);
    if (host.scale_bytes > 0) {
      part.scale = DeviceArray(*queue_, host.scale_bytes);
      queue_->copy_pinned(part.scale.data(), host.memory.data() + host.weight_bytes, host.scale_bytes);
    }
    add_map(part);
    matrix->parts.push_back(std::move(part));
  }
  return matrix;
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
