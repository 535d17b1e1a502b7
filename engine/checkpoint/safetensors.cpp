#include "engine/checkpoint/safetensors.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace assay::engine {

namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own reader

struct KnownDType {
  std::string_view name;
  int bits;
};
constexpr std::array<KnownDType, 20> kDTypes = {{
    {"BOOL", 8},    {"U8", 8},      {"I8", 8},   {"I16", 16},    {"U16", 16},
    {"F16", 16},    {"BF16", 16},   {"I32", 32}, {"U32", 32},    {"F32", 32},
    {"I64", 64},    {"U64", 64},    {"F64", 64}, {"C64", 64},    {"F8_E4M3", 8},
    {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6},
}};

int bits_of(const std::string& dtype) {
  for (const KnownDType& d : kDTypes)
    if (d.name == dtype) return d.bits;
  return 0;
}

// Bytes of a tensor; throws where the product does not fit or is no whole number of bytes.
uint64_t bytes_of(const SafetensorsEntry& entry, int bits, const std::string& where) {
  uint64_t total = static_cast<uint64_t>(bits);
  for (const int64_t n : entry.shape) {
    if (__builtin_mul_overflow(total, static_cast<uint64_t>(n), &total))
      throw_bad_input("shape " + shape_text(entry.shape) + " is too large", where);
  }
  if (total % 8 != 0) throw_bad_input("its size is no whole number of bytes", where);
  return total / 8;
}

SafetensorsEntry parse_entry(std::string_view name, json::Value value, const std::string& where) {
  SafetensorsEntry entry;
  entry.name = name;
  if (!value.is_object()) throw_bad_input("header entry is not an object", where);
  entry.dtype = value.at("dtype").string();
  const int bits = bits_of(entry.dtype);
  if (bits == 0) throw_bad_input("unknown dtype \"" + entry.dtype + "\"", where);
  value.at("shape").for_each_element([&](json::Value n) {
    if (n.integer() < 0) throw_bad_input("negative size in its shape", where);
    entry.shape.push_back(n.integer());
  });
  const json::Value offsets = value.at("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2 || offsets[0].integer() < 0 ||
      offsets[1].integer() < offsets[0].integer())
    throw_bad_input("data_offsets " + offsets.dump() + " are no range", where);
  entry.offset = static_cast<uint64_t>(offsets[0].integer());
  entry.bytes = static_cast<uint64_t>(offsets[1].integer()) - entry.offset;
  const uint64_t expected = bytes_of(entry, bits, where);
  if (entry.bytes != expected)
    throw_bad_input("its data_offsets span " + std::to_string(entry.bytes) + " bytes, but shape " +
                        shape_text(entry.shape) + " of " + entry.dtype + " takes " +
                        std::to_string(expected),
                    where);
  return entry;
}

uint64_t header_length(const MappedFile& file) {
  const auto bytes = file.bytes();
  if (bytes.size() < 8) throw_bad_input("too short for a safetensors file", file.path().string());
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<uint8_t>(bytes[i]);
  if (length > kMaxHeaderBytes)
    throw_bad_input("not a safetensors file: header length " + std::to_string(length),
                    file.path().string());
  if (length > bytes.size() - 8)
    throw_bad_input("truncated: the header takes " + std::to_string(length) +
                        " bytes, the file has " + std::to_string(bytes.size()),
                    file.path().string(), "fetch the file again");
  return length;
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (const int64_t n : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(n);
  return out + "]";
}

void SafetensorsFile::expect_random_access() const {
  const auto bytes = file_.bytes();  // advice only: a failure changes nothing
  (void)::posix_madvise(const_cast<std::byte*>(bytes.data()), bytes.size(), POSIX_MADV_RANDOM);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string where = path.string();
  const uint64_t header = header_length(file_);
  const uint64_t data_start = 8 + header, data_size = size() - data_start;
  const std::string_view text(reinterpret_cast<const char*>(file_.bytes().data()) + 8, header);
  const json::Document document = json::Document::parse(text, where + ": header");
  if (!document.root().is_object()) throw_bad_input("the header is no JSON object", where);
  std::set<std::string, std::less<>> names;
  document.root().for_each_member([&](std::string_view name, json::Value value) {
    if (name == "__metadata__") return;
    const std::string tensor = where + ": tensor " + std::string(name);
    if (!names.emplace(name).second) throw_bad_input("is there twice", tensor);
    entries_.push_back(parse_entry(name, value, tensor));
  });
  std::sort(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  uint64_t end = 0;
  for (const SafetensorsEntry& entry : entries_) {
    const std::string tensor = where + ": tensor " + entry.name;
    if (entry.offset + entry.bytes > data_size)
      throw_bad_input("truncated: it ends at byte " +
                          std::to_string(data_start + entry.offset + entry.bytes) +
                          ", the file has " + std::to_string(size()),
                      tensor, "fetch the file again");
    if (entry.offset < end) throw_bad_input("overlaps the tensor before it", tensor);
    if (entry.offset > end) throw_bad_input("does not follow the tensor before it", tensor);
    end = entry.offset + entry.bytes;
  }
  if (end != data_size)
    throw_bad_input(std::to_string(data_size - end) + " bytes follow the last tensor", where,
                    "fetch the file again");
  for (SafetensorsEntry& entry : entries_) entry.offset += data_start;
}

}  // namespace assay::engine
