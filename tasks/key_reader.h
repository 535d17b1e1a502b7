// Reads a JSON object whose every key must be known: a misspelt key is an error, not a default.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace assay::tasks {

class KeyReader {
 public:
  // `object` must be a JSON object.
  explicit KeyReader(json::Value object);

  // Each marks the key as known. The first exists() only if the key is there and not null.
  json::Value optional(std::string_view key);
  json::Value required(std::string_view key);
  std::string text(std::string_view key, std::string_view fallback = {});
  int64_t integer(std::string_view key, int64_t fallback);
  double number(std::string_view key, double fallback);
  bool boolean(std::string_view key, bool fallback);
  std::vector<std::string> texts(std::string_view key);  // a list, or one text; empty if missing

  // Throws bad_input for a key that was not asked for, with the nearest one that was.
  void finish() const;
  std::string where(std::string_view key) const;
  json::Value object() const { return object_; }

 private:
  json::Value object_;
  std::vector<std::string> known_;
};

}  // namespace assay::tasks
