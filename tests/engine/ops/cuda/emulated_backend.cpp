#include "tests/engine/ops/cuda/emulated_backend.h"

#include "tests/engine/ops/cuda/emulated_queue.h"

#include "engine/ops/cuda/backend_impl.h"

namespace assay::engine::ops {

std::unique_ptr<Backend> make_emulated_cuda_backend(Numerics numerics, const Workers& workers,
                                                    bool ue8m0_activations, bool bounds,
                                                    bool tuned) {
  using namespace cuda_emulated;
  return std::make_unique<DeviceBackend>(
      std::make_unique<Queue>(bounds ? Guard::bounds : Guard::host_access, tuned), numerics,
      workers, ue8m0_activations);
}

int64_t fail_emulated_allocation(int64_t after) {
  return cuda_emulated::Queue::fail_after.exchange(after);
}

void use_emulated_graphs(bool graphs) { cuda_emulated::Queue::graphs = graphs; }
void limit_emulated_step_ring(size_t bytes) { cuda_emulated::Queue::step_ring = bytes; }
const StepCounts& emulated_step_counts(const Backend& backend) {
  return static_cast<const cuda_emulated::DeviceBackend&>(backend).queue().step_counts();
}

void set_emulated_multiprocessors(int count) { cuda_emulated::Queue::multiprocessor_count = count; }
uint64_t emulated_async_bytes() { return cuda_emulated::async_bytes; }

int64_t limit_emulated_pinning(int64_t arrays) {
  return cuda_emulated::Queue::pinned_left.exchange(arrays);
}

}  // namespace assay::engine::ops
