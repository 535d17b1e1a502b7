// Reads the keys of one JSON object and remembers which, so that a key nobody asked for is refused.
//
// Internal to engine/checkpoint. Errors are bad_input naming file and key.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "base/json.h"

namespace assay::engine {

class ConfigReader {
 public:
  // Refuses an object with a repeated key.
  ConfigReader(json::Value object, std::string file);

  json::Value required(std::string_view key);          // null counts as missing
  json::Value required_or_null(std::string_view key);  // exists() is false if null
  json::Value optional(std::string_view key);          // exists() is false if missing or null
  [[noreturn]] void fail_missing(std::string_view key) const;
  std::string where(std::string_view key) const;

  // A whole number in [minimum, maximum].
  int64_t count(std::string_view key, int64_t minimum = 1, int64_t maximum = int64_t{1} << 28);
  double positive(std::string_view key);
  double number_or(std::string_view key, double fallback);
  bool boolean_or(std::string_view key, bool fallback);

  // The only value that is computed; anything else is refused by name.
  void demand(std::string_view key, std::string_view value, bool missing_is_fine = false);
  void demand_if_there(std::string_view key, bool value);
  void demand_if_there(std::string_view key, int64_t value);

  // Keys that have no influence here.
  void ignore(std::initializer_list<std::string_view> keys);
  // Those of Hugging Face configurations that never have: metadata, training, generation defaults.
  void ignore_harmless();
  // Refuses the first key that was neither read nor ignored, unless its value says nothing (null,
  // empty). A false may switch off what is on by default, so it is refused.
  void refuse_unread() const;

 private:
  json::Value object_;
  std::string file_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace assay::engine
