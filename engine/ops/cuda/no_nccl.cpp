// Left out where NCCL is linked (room.cmake).
#include "base/error.h"
#include "engine/distributed/nccl_collective.h"
#include "engine/ops/cuda/library_versions.h"

namespace assay::engine {

std::string make_nccl_group() {
  throw_resource("this program was built without NCCL, over which GPUs exchange rows", {},
                 "install NCCL and build again, or use --parallel data");
}
std::unique_ptr<Collective> join_nccl_group(const std::string&, int, int, int) { make_nccl_group(); return nullptr; }

namespace ops {

std::string nccl_version() { return {}; }

}  // namespace ops

}  // namespace assay::engine
