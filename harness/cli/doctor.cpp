// assay doctor: what this machine and this program offer.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/workers.h"
#include "engine/processes.h"
#include "engine/engine.h"
#include "harness/cli/verbs.h"
#include "sandbox/sandbox.h"

namespace assay::harness {

namespace {

void line(std::string_view name, const std::string& value) {
  std::string label(name);
  label.resize(18, ' ');
  std::cout << label << value << '\n';
}

void doctor() {
  line("assay", ASSAY_VERSION);
  line("processors", std::to_string(available_processors()));
  for (const engine::KernelSupport& kernels : engine::kernel_support()) {
    line("kernels " + std::string(engine::kernels_name(kernels.kernels)),
         kernels.available ? "available" : "no: " + kernels.why);
  }
  const engine::DeviceSupport cuda = engine::device_support();
  if (cuda.built) {
    line("CUDA", "kernels for compute capability 8.0 and 9.0a; runtime " + cuda.runtime + ", driver " +
                     (cuda.driver.empty() ? "none" : cuda.driver) + ", NCCL " +
                     (cuda.nccl.empty() ? "none" : cuda.nccl));
    for (const std::string& device : cuda.devices) line("", device);
    if (!cuda.why.empty()) line("", "no device can be used: " + cuda.why);
  } else {
    line("CUDA", "no: " + cuda.why);
  }
  const std::string mpi = engine::mpi_library();
  line("MPI", mpi.empty() ? "MPI was not found when this program was built: ranks are threads of one process" : mpi);
  line("Unicode", std::string(engine::unicode_version()));
  try {
    sandbox::Options options;
    options.workers = 1;
    const sandbox::Sandbox sandbox(options);
    const sandbox::Probe& probe = sandbox.probe();
    line("sandbox", "level " + std::string(sandbox::level_name(probe.level)) + ", Python " +
                        probe.python_version + (probe.numpy ? " with numpy" : " without numpy"));
    for (const std::string& missing : probe.missing) line("", missing);
  } catch (const Error& error) {
    line("sandbox", std::string("no: ") + error.what());
  }
}

}  // namespace

void add_doctor(CLI::App& app, Session&) {
  CLI::App* verb = app.add_subcommand("doctor", "What this machine and this program offer");
  set_examples(*verb, {"assay doctor"});
  verb->callback([] { doctor(); });
}

}  // namespace assay::harness
