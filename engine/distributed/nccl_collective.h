// Ranks on GPUs over NCCL: one process with a rank per GPU, or one process per rank.
//
// Device memory; operations are queued on the given stream and return at once, barrier and
// broadcast of the group's identity excepted. Compiled and linked where CUDA and NCCL are; never run
// on hardware so far (docs/gpu.md).
#pragma once

#include <memory>
#include <string>

#include "engine/distributed/collective.h"

namespace assay::engine {

// Names a group; made by one rank and given to all (between processes: as MPI's first broadcast).
// Throws resource where NCCL is not built in.
std::string make_nccl_group();
// Collective over all ranks that give the same group, on the stream that `device` computes on. Returns
// when all ranks have come; throws resource where NCCL can't.
std::unique_ptr<Collective> join_nccl_group(const std::string& group, int ranks, int rank, int device);

}  // namespace assay::engine
