// SHA-256, the only digest of the program: identities, file checks, hash-order exemplars.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace assay {

// Incremental SHA-256. Not thread-safe; movable, not copyable.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& update(std::string_view bytes);
  // Appends the length as 8 little-endian bytes, then the bytes: unambiguous for lists of strings.
  Sha256& update_field(std::string_view bytes);
  // Finishes; the object may not be used afterwards.
  std::array<uint8_t, 32> finish();
  // The same as 64 lower-case hexadecimal digits.
  std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);
// Digest of a whole file. Throws bad_input if it cannot be read.
std::string sha256_file_hex(const std::filesystem::path& path);

}  // namespace assay
