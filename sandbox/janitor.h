// A helper process that cleans up when this one is killed.
#pragma once

#include <sys/types.h>

#include <filesystem>

#include "sandbox/descriptor.h"

namespace assay::sandbox {

class Janitor {
 public:
  Janitor();   // throws Error(resource) if it cannot be started
  ~Janitor();  // ends it; what its owner has not removed by then it removes
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;

  // A directory or control group that is to be removed when this process is gone.
  void watch(const std::filesystem::path& path);

 private:
  Descriptor paths_;
  pid_t process_ = -1;
};

}  // namespace assay::sandbox
