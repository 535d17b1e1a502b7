// The whole CUDA backend, kernels included, over the emulated device.
#pragma once

#include <memory>

#include "engine/ops/cuda/step.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

// `tuned`: with the kernels of sm_90a.
// `bounds`: device memory is readable by the host, but reads beyond an allocation fault; otherwise
// host code that touches device memory faults.
std::unique_ptr<Backend> make_emulated_cuda_backend(Numerics numerics, const Workers& workers,
                                                    bool ue8m0_activations, bool bounds,
                                                    bool tuned = false);

// The emulated device's next allocation but `after` fails, that one alone; -1: none does. Returns what
// was left of the last call's count: -1 where the allocation has failed.
int64_t fail_emulated_allocation(int64_t after);

// Whether emulated devices put steps off (they do), in how many bytes of staged data at most (of backends made
// from now on), and what has become of them.
void use_emulated_graphs(bool graphs);
void limit_emulated_step_ring(size_t bytes);
const StepCounts& emulated_step_counts(const Backend& backend);

// Multiprocessors of the emulated device; three unless this is called.
void set_emulated_multiprocessors(int count);
// What kernels have read by asynchronous copies so far.
uint64_t emulated_async_bytes();

// The emulated host has memory to pin for so many arrays more; -1: for any number. Returns what was left.
int64_t limit_emulated_pinning(int64_t arrays);

}  // namespace assay::engine::ops
