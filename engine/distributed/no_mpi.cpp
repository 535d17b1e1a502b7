// One process, where MPI was not found when the program was built (room.cmake).
#include <cstdlib>

#include "base/error.h"
#include "engine/distributed/process_ranks.h"
#include "engine/processes.h"

namespace assay::engine {

std::string mpi_library() { return {}; }

int process_count() { return 1; }

std::unique_ptr<Engine> open_process_engine(const RankSetup&) {
  throw_internal("one of several processes without MPI", "engine/distributed");
}

Processes::Processes() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE"}) {
    const char* size = std::getenv(name);
    if (size == nullptr || std::atoi(size) < 2) continue;
    throw_usage("started as one of " + std::string(size) + " processes, but this program was built without MPI",
                "install MPI (Debian: libopenmpi-dev) and build again");
  }
}
Processes::~Processes() = default;
bool Processes::first() const { return true; }
int Processes::serve() { return 0; }
void Processes::end(int) {}

}  // namespace assay::engine
