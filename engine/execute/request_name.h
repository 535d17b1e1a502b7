// How errors call a request.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace assay::engine {

// Its own name, or "request N" where it has none.
inline std::string request_name(std::string_view name, size_t index) {
  return name.empty() ? "request " + std::to_string(index) : std::string(name);
}

}  // namespace assay::engine
