// How errors call a request.
#pragma once

#include <string>

namespace assay::engine {

// Its own name, where the caller gave one, else its number.
template <class Request>
std::string request_name(const Request& request, size_t index) {
  return request.where.empty() ? "request " + std::to_string(index) : std::string(request.where);
}

}  // namespace assay::engine
