#include "engine/distributed/nccl_collective.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <cstring>

#include "base/error.h"
#include "engine/ops/cuda/cuda_backend.h"
#include "engine/ops/cuda/library_versions.h"

namespace assay::engine {

namespace {

void check(ncclResult_t status, const char* what) {
  if (status == ncclSuccess) return;
  throw_resource(std::string(what) + ": " + ncclGetErrorString(status), "NCCL", "see NCCL_DEBUG=INFO");
}
void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw_resource(std::string(what) + ": " + cudaGetErrorString(status), "NCCL");
}

class NcclCollective final : public Collective {
 public:
  NcclCollective(const std::string& group, int ranks, int rank, int device, cudaStream_t stream)
      : ranks_(ranks), rank_(rank), device_(device), stream_(stream) {
    check(cudaSetDevice(device_), "choosing the device");
    ncclUniqueId id;
    if (group.size() != sizeof id) throw_internal("not a group's name", "engine/distributed");
    std::memcpy(&id, group.data(), sizeof id);
    check(cudaMalloc(&token_, sizeof(float)), "allocating device memory");
    check(cudaMemset(token_, 0, sizeof(float)), "clearing device memory");
    check(ncclCommInitRank(&group_, ranks, id, rank), "joining the group of ranks");
  }
  ~NcclCollective() override {
    cudaSetDevice(device_);
    if (group_ != nullptr) ncclCommDestroy(group_);
    cudaFree(token_);
  }

  int rank() const override { return rank_; }
  int size() const override { return ranks_; }

  // A sum of nothing: done when all have given theirs.
  void barrier() override {
    use();
    check(ncclAllReduce(token_, token_, 1, ncclFloat, ncclMax, group_, stream_), "waiting for the ranks");
    check(cudaStreamSynchronize(stream_), "waiting for the ranks");
  }
  void broadcast(std::byte* data, size_t bytes, int root) override {
    use();
    check(ncclBroadcast(data, data, bytes, ncclUint8, root, group_, stream_), "broadcasting");
  }
  void all_gather(const std::byte* mine, size_t bytes, std::byte* all) override {
    use();
    check(ncclAllGather(mine, all, bytes, ncclUint8, group_, stream_), "gathering");
  }
  void all_to_all(const std::byte* send, std::span<const int64_t> send_bytes, std::byte* receive,
                  std::span<const int64_t> receive_bytes) override {
    use();
    check(ncclGroupStart(), "exchanging rows");
    for (int r = 0; r < ranks_; ++r) {
      const auto out = static_cast<size_t>(send_bytes[static_cast<size_t>(r)]);
      const auto in = static_cast<size_t>(receive_bytes[static_cast<size_t>(r)]);
      if (out > 0) check(ncclSend(send, out, ncclUint8, r, group_, stream_), "exchanging rows");
      if (in > 0) check(ncclRecv(receive, in, ncclUint8, r, group_, stream_), "exchanging rows");
      send += out;
      receive += in;
    }
    check(ncclGroupEnd(), "exchanging rows");
  }
  void send(const std::byte* data, size_t bytes, int to) override {
    use();
    check(ncclSend(data, bytes, ncclUint8, to, group_, stream_), "sending rows");
  }
  void receive(std::byte* data, size_t bytes, int from) override {
    use();
    check(ncclRecv(data, bytes, ncclUint8, from, group_, stream_), "receiving rows");
  }
  void abandon() override {
    if (group_ != nullptr) ncclCommAbort(group_);
    group_ = nullptr;
  }

 private:
  void use() const {
    if (group_ == nullptr) throw RankStopped();
    check(cudaSetDevice(device_), "choosing the device");
  }

  const int ranks_, rank_, device_;
  const cudaStream_t stream_;
  ncclComm_t group_ = nullptr;
  void* token_ = nullptr;
};

}  // namespace

std::string make_nccl_group() {
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "naming a group of ranks");
  return std::string(reinterpret_cast<const char*>(&id), sizeof id);
}

std::unique_ptr<Collective> join_nccl_group(const std::string& group, int ranks, int rank, int device) {
  return std::make_unique<NcclCollective>(group, ranks, rank, device,
                                          static_cast<cudaStream_t>(ops::cuda_computing_stream(device)));
}

namespace ops {

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return {};
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

}  // namespace ops

}  // namespace assay::engine
