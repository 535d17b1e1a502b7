// Versions of the libraries beside CUDA's runtime, for assay doctor; empty: not linked.
#pragma once

#include <string>

namespace assay::engine::ops {

std::string nccl_version();

}  // namespace assay::engine::ops
