// Runs the assay binary in a child process.
#pragma once

#include <string>
#include <vector>

namespace assay::e2e {

struct Outcome {
  int code = -1;    // exit code, or 128 + signal
  std::string out;  // standard output
  std::string err;  // standard error
};

// Waits for the end. `input` becomes standard input.
Outcome assay(const std::vector<std::string>& arguments, const std::string& input = {});

// The same as `processes` processes, under mpirun.
Outcome assay_of(int processes, const std::vector<std::string>& arguments, const std::string& input = {});
// Whether mpirun is there and the program was built with MPI.
bool has_mpi();

// Starts it and kills it with SIGKILL after `seconds`; true if it had not ended by itself.
bool assay_killed_after(const std::vector<std::string>& arguments, double seconds);

// The bundled checkpoint and the sample benchmarks.
std::string sample_checkpoint(const std::string& name = "base-step-000600");

}  // namespace assay::e2e
