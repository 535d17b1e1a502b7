// Token ids in JSON input.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "engine/engine.h"

namespace assay::harness {

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

}  // namespace assay::harness
