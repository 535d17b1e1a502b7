// One .safetensors file, mapped, its header fully validated.
//
// Format (huggingface/safetensors README): 8 bytes little-endian header length, a JSON object
// name -> {dtype, shape, data_offsets}, then the tensors' bytes without gaps. Everything that does
// not hold is bad_input naming the file and the tensor; after construction every entry's bytes lie
// within the file and no two overlap. Immutable and thread-safe; entries keep their addresses when
// the object is moved.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace assay::engine {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // as written: "BF16", "F8_E4M3", "I64", ...
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // from the start of the file
  uint64_t bytes = 0;
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  uint64_t size() const { return file_.bytes().size(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  // by offset
  const std::byte* data(const SafetensorsEntry& entry) const {
    return file_.bytes().data() + entry.offset;
  }
  // Tells the system that single pages will be touched here and there: no read-ahead.
  void expect_random_access() const;

 private:
  MappedFile file_;
  std::vector<SafetensorsEntry> entries_;
};

// "[576, 7168]"
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace assay::engine
