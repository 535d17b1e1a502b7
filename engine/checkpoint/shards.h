// The weight files of a checkpoint directory, opened: one file, or shards with an index.
//
// Internal to engine/checkpoint. Problems are collected rather than thrown, so that inspection can
// list them all; a file that cannot be read contributes its problem and no tensors.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/checkpoint/safetensors.h"

namespace assay::engine {

struct ShardedTensor {
  int shard = 0;
  const SafetensorsEntry* entry = nullptr;
};

class ShardSet {
 public:
  static ShardSet open(const std::filesystem::path& directory, std::vector<Error>& problems,
                       std::vector<std::string>& notes);

  const std::vector<SafetensorsFile>& files() const { return files_; }
  const std::map<std::string_view, ShardedTensor>& tensors() const { return tensors_; }
  const std::byte* data(const ShardedTensor& t) const {
    return files_[static_cast<size_t>(t.shard)].data(*t.entry);
  }
  // "model-00001-of-00002.safetensors: tensor NAME"
  std::string where(const ShardedTensor& t) const;
  uint64_t bytes() const;

 private:
  std::vector<SafetensorsFile> files_;
  std::map<std::string_view, ShardedTensor> tensors_;  // keys live in the files' entries
};

}  // namespace assay::engine
