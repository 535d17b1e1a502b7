// Finds the best level that this machine offers, by doing.
#pragma once

#include <memory>
#include <string>

#include "base/file.h"
#include "sandbox/descriptor.h"
#include "sandbox/janitor.h"
#include "sandbox/sandbox.h"
#include "sandbox/worker.h"

namespace assay::sandbox {

struct Established {
  Probe probe;
  std::unique_ptr<Janitor> janitor;               // ends last
  std::unique_ptr<TemporaryDirectory> directory;  // level c: where programs may write
  Descriptor lock;                                // says that the directory is in use
  std::unique_ptr<Shared> shared;
};

// Throws Error(resource) naming everything that is missing if no permitted level works.
Established establish(const Options& options);

}  // namespace assay::sandbox
