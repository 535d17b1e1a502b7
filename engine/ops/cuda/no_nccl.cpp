// Left out where NCCL is linked (room.cmake).
#include "engine/ops/cuda/library_versions.h"

namespace assay::engine::ops {

std::string nccl_version() { return {}; }

}  // namespace assay::engine::ops
