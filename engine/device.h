// What of CUDA this program and this machine have, for `assay doctor`. Never throws.
#pragma once

#include <string>
#include <vector>

namespace assay::engine {

struct DeviceSupport {
  bool built = false;                 // the program has the CUDA kernels
  std::string why;                    // no device can be used; empty: some can
  std::string runtime, driver, nccl;  // versions; empty: not there
  std::vector<std::string> devices;   // one line each
};
DeviceSupport device_support();

}  // namespace assay::engine
