// The processes that mpirun or srun started together: the first runs the program, the others compute.
//
// DESCRIPTION
//
// Every process is a rank. Engines that the first process opens (open_engine) have the others' ranks
// beside its own; reading requests and writing results are the first one's alone. Needs MPI, found when
// the program was built; without, a program that was started as one of several says so.
//
// One object a program, made before any engine and destroyed after all of them. A process that was
// started alone is the first of one; MPI is left alone then.
#pragma once

#include <string>

namespace assay::engine {

// The MPI library that the program was built with; empty: none.
std::string mpi_library();

class Processes {
 public:
  Processes();  // throws usage where several were started and MPI is not built in
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  bool first() const;
  // All but the first: computes until the first ends, and returns its exit code.
  int serve();
  // The first: the others end with `code`.
  void end(int code);
};

}  // namespace assay::engine
