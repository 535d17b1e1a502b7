// Ranks that are processes, over host memory and MPI.
//
// Every operation is begun without waiting and then asked after, and between two questions it is looked
// whether a rank has given up; so nobody waits for one that has.
#pragma once

#include <mpi.h>

#include <memory>

#include "engine/distributed/collective.h"

namespace assay::engine {

// Throws internal where an MPI call fails (Open MPI ends the program before, as it is set up).
void check_mpi(int status, const char* what);

// `rows` carries the data, `notices` who has given up; of the same processes, used by nothing else. They
// must outlive the result.
std::unique_ptr<Collective> make_mpi_collective(MPI_Comm rows, MPI_Comm notices);

}  // namespace assay::engine
