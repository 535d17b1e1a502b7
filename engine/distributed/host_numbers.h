// Small host data between ranks whose collective moves the backend's memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/distributed/collective.h"
#include "engine/model/buffer.h"

namespace assay::engine {

class HostNumbers {
 public:
  HostNumbers(const ops::Backend& backend, Collective& ranks) : backend_(backend), ranks_(ranks) {}

  // The numbers of all ranks, equally many each, in rank order.
  std::vector<int64_t> gather(std::span<const int64_t> mine) {
    std::vector<int64_t> all(mine.size() * static_cast<size_t>(ranks_.size()));
    std::byte* memory = memory_.ensure(static_cast<int64_t>(mine.size_bytes()) * (ranks_.size() + 1));
    backend_.upload(memory, mine.data(), mine.size_bytes());
    ranks_.all_gather(memory, mine.size_bytes(), memory + mine.size_bytes());
    backend_.download(all.data(), memory + mine.size_bytes(), all.size() * sizeof(int64_t));
    return all;
  }
  int64_t largest(int64_t mine) {
    const std::vector<int64_t> all = gather({&mine, 1});
    return *std::max_element(all.begin(), all.end());
  }

  void broadcast(std::span<std::byte> data, int root) {
    std::byte* memory = memory_.ensure(static_cast<int64_t>(data.size()));
    if (ranks_.rank() == root) backend_.upload(memory, data.data(), data.size());
    ranks_.broadcast(memory, data.size(), root);
    if (ranks_.rank() != root) backend_.download(data.data(), memory, data.size());
  }
  void send(std::span<const std::byte> data, int to) {
    std::byte* memory = memory_.ensure(static_cast<int64_t>(data.size()));
    backend_.upload(memory, data.data(), data.size());
    ranks_.send(memory, data.size(), to);
  }
  void receive(std::span<std::byte> data, int from) {
    std::byte* memory = memory_.ensure(static_cast<int64_t>(data.size()));
    ranks_.receive(memory, data.size(), from);
    backend_.download(data.data(), memory, data.size());
  }

 private:
  const ops::Backend& backend_;
  Collective& ranks_;
  model::Buffer<std::byte> memory_{backend_};
};

}  // namespace assay::engine
