// Weights that do not stay: what every pass moves, how long that takes, and from how many rows on computing
// takes longer (the break-even pass).
//
//   break-even rows = (seconds to move what is streamed) x FLOP/s / (FLOP of a row in the layers it is for)
//
// Below it moving binds, above it computing does; the shorter of the two is hidden behind the longer one.
// Moved is what is read from disk (in the file's element type) and, on a GPU, what is copied to it (as
// prepared); both happen at the same time. Resident layers are on neither side: their computation hides
// nothing beyond the layer that is fetched ahead.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "engine/engine.h"

namespace assay::engine {

// One layer's share of what may be streamed.
struct StreamedLayer {
  double bytes = 0;      // prepared
  double row_flops = 0;  // of a row in this layer, all of it
};

struct StreamingPlan {
  double copied_bytes = 0;  // prepared weights brought in by every pass
  double read_bytes = 0;    // of these, read from disk, as stored
  double row_flops = 0;     // a row's arithmetic in the layers that are not resident
};

// Leading layers are resident as far as `resident` bytes go, leading ones of the rest are kept in `host`
// bytes of host memory (a GPU's; 0 on the CPU). `stored`: bytes in the file for one prepared byte.
StreamingPlan plan_streaming(const std::vector<StreamedLayer>& layers, double resident, double host,
                             double stored);

// FLOP/s of many rows; bytes/s from disk; bytes/s from host memory to a GPU, 0 where nothing is copied.
struct StreamingRates {
  double flops = 0, disk = 0, link = 0;
};
// What is reckoned with where nothing was measured: a CPU's 500 GFLOP/s, a disk's 1 GB/s, a PCIe 5 link's 50
// GB/s, 45 % of an H100's tensor cores (989 TFLOP/s, FP8 1979).
StreamingRates assumed_rates(DeviceKind device, Numerics numerics);

double moving_seconds(const StreamingPlan& plan, const StreamingRates& rates);  // a pass
double break_even_rows(const StreamingPlan& plan, const StreamingRates& rates);  // 0: nothing is streamed

// Bytes a second that the disk gives for the weight files of the directory, past the system's cache; absent where
// there are none or the file system can't. Takes half a second at most.
std::optional<double> measure_disk(const std::filesystem::path& directory);

}  // namespace assay::engine
