// Files: reading whole, mapping, and writing so that no reader ever sees half a file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace assay {

namespace fs = std::filesystem;

// The bytes of a file; names ending in .gz are decompressed. Throws bad_input naming the path and
// the system's reason, also for a gzip stream that is truncated, damaged or followed by other bytes.
std::string read_file(const fs::path& path);

// Writes `content` to a temporary file beside `path`, flushes it to disk and renames it over
// `path`. On any failure the old file is untouched, the temporary is removed, and a resource error
// names the path.
void write_file_atomically(const fs::path& path, std::string_view content);

// A read-only memory map of a whole file. The bytes live as long as the object. Movable.
// Pages are shared with the page cache; nothing is read until touched. Thread-safe to read.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const fs::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const fs::path& path() const { return path_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  fs::path path_;
};

// A directory under the system's temporary folder, removed with its content at destruction.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(std::string_view prefix = "assay");
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace assay
