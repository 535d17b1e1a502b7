#include "tasks/key_reader.h"

#include <algorithm>

#include "base/error.h"

namespace assay::tasks {

KeyReader::KeyReader(json::Value object) : object_(object) {
  if (!object.is_object()) object.fail("expected an object");
}

json::Value KeyReader::optional(std::string_view key) {
  known_.emplace_back(key);
  json::Value value = object_.find(key);
  return value.exists() && !value.is_null() ? value : json::Value();
}

json::Value KeyReader::required(std::string_view key) {
  json::Value value = optional(key);
  if (!value.exists()) object_.fail("the key \"" + std::string(key) + "\" is missing");
  return value;
}

std::string KeyReader::text(std::string_view key, std::string_view fallback) {
  json::Value value = optional(key);
  return std::string(value.exists() ? value.string() : fallback);
}

int64_t KeyReader::integer(std::string_view key, int64_t fallback) {
  json::Value value = optional(key);
  return value.exists() ? value.integer() : fallback;
}

double KeyReader::number(std::string_view key, double fallback) {
  json::Value value = optional(key);
  return value.exists() ? value.number() : fallback;
}

bool KeyReader::boolean(std::string_view key, bool fallback) {
  json::Value value = optional(key);
  return value.exists() ? value.boolean() : fallback;
}

std::vector<std::string> KeyReader::texts(std::string_view key) {
  json::Value value = optional(key);
  if (!value.exists()) return {};
  if (value.is_string()) return {std::string(value.string())};
  return value.strings();
}

void KeyReader::finish() const {
  object_.for_each_member([&](std::string_view key, json::Value value) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) return;
    std::vector<std::string_view> names(known_.begin(), known_.end());
    std::string near = nearest_word(key, names.data(), names.size());
    value.fail("unknown key", near.empty() ? "docs/adding-a-task.md lists the keys"
                                           : "did you mean \"" + near + "\"?");
  });
}

std::string KeyReader::where(std::string_view key) const {
  return object_.where() + "." + std::string(key);
}

}  // namespace assay::tasks
