// What the JSON lines of standard input may hold: known keys, token ids, no more than the context.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/engine.h"

namespace assay::harness {

// A key that is not one of `keys`, or is there twice, is a bad_input error: a misspelt option must
// not be ignored in silence.
inline void demand_keys(const json::Value& line, std::initializer_list<std::string_view> keys) {
  if (!line.is_object()) line.fail("expected an object");
  std::set<std::string_view> seen;
  line.for_each_member([&](std::string_view key, json::Value value) {
    if (!seen.insert(key).second) value.fail("the key is there twice");
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) return;
    std::string known = "known:";
    for (const std::string_view k : keys) known += ' ' + std::string(k);
    value.fail("unknown key", known);
  });
}

// An array of ids in 0 .. vocabulary-1; anything else is a bad_input error naming the place.
inline std::vector<engine::TokenId> read_ids(const json::Value& list, int64_t vocabulary) {
  std::vector<engine::TokenId> ids;
  ids.reserve(list.size());
  list.for_each_element([&](json::Value value) {
    const int64_t id = value.integer();
    if (id < 0 || id >= vocabulary) {
      value.fail("token id " + std::to_string(id) + " is outside 0.." +
                 std::to_string(vocabulary - 1));
    }
    ids.push_back(static_cast<engine::TokenId>(id));
  });
  return ids;
}

// As many positions as the checkpoint has, at most; the engine, which checks it too, knows no lines.
inline void demand_context(const json::Value& line, size_t positions, int64_t context) {
  if (positions <= static_cast<size_t>(context)) return;
  line.fail("takes " + std::to_string(positions) + " positions, but the checkpoint's context is " +
                std::to_string(context) + " tokens",
            "shorten it");
}

}  // namespace assay::harness
