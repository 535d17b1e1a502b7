// A list of launches as a CUDA graph: one node after the other. nvcc only; never run on hardware so far
// (docs/gpu.md).
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <vector>

#include "engine/ops/cuda/launch_list.h"
#include "engine/ops/cuda/step.h"

namespace assay::engine::ops::cuda {

// A launch's parameters in CUDA's form; points into the list.
class NodeParams {
 public:
  NodeParams(const LaunchList& list, size_t i) : args_(const_cast<std::byte*>(list.args(i).data())) {
    const Launch& launch = list[i];
    params_.func = const_cast<void*>(launch.kernel);
    params_.gridDim = dim3(launch.grid[0], launch.grid[1], launch.grid[2]);
    params_.blockDim = dim3(launch.threads);
    params_.sharedMemBytes = static_cast<unsigned>(launch.shared);
    params_.kernelParams = &args_;
  }
  NodeParams(const NodeParams&) = delete;
  NodeParams& operator=(const NodeParams&) = delete;
  const cudaKernelNodeParams* get() const { return &params_; }
  cudaError_t launch(cudaStream_t stream) const {
    return cudaLaunchKernel(params_.func, params_.gridDim, params_.blockDim, params_.kernelParams,
                            params_.sharedMemBytes, stream);
  }

 private:
  void* args_;
  cudaKernelNodeParams params_{};
};

class CudaGraph final : public StepGraph {
 public:
  explicit CudaGraph(cudaStream_t stream) : stream_(stream) {}
  ~CudaGraph() override {
    cudaStreamSynchronize(stream_);  // it may still run
    if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  cudaError_t build(const LaunchList& list) {
    cudaError_t status = cudaGraphCreate(&graph_, 0);
    for (size_t i = 0; i < list.size() && status == cudaSuccess; ++i) {
      const NodeParams params(list, i);
      cudaGraphNode_t node = nullptr;
      status = cudaGraphAddKernelNode(&node, graph_, i > 0 ? &nodes_.back() : nullptr, i > 0 ? 1 : 0,
                                      params.get());
      nodes_.push_back(node);
    }
    return status == cudaSuccess ? cudaGraphInstantiate(&exec_, graph_, 0) : status;
  }
  // For the runs that follow; one under way is not touched.
  cudaError_t set_args(const LaunchList& list, size_t i) {
    const NodeParams params(list, i);
    return cudaGraphExecKernelNodeSetParams(exec_, nodes_[i], params.get());
  }
  cudaError_t run() { return cudaGraphLaunch(exec_, stream_); }

 private:
  const cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t exec_ = nullptr;
  std::vector<cudaGraphNode_t> nodes_;
};

}  // namespace assay::engine::ops::cuda
