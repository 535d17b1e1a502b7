#include "engine/execute/streaming_plan.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>

namespace assay::engine {

namespace {

constexpr double kCpuFlops = 500e9, kDisk = 1e9, kLink = 50e9;
constexpr double kGpuBf16 = 0.45 * 989e12, kGpuFp8 = 0.45 * 1979e12, kGpuFp32 = 0.45 * 67e12;
constexpr size_t kPiece = size_t{4} << 20, kAlignment = 4096;
constexpr size_t kFewestPieces = 4;  // for a rate to mean something
constexpr double kMeasured = 0.4;    // seconds

}  // namespace

StreamingPlan plan_streaming(const std::vector<StreamedLayer>& layers, double resident, double host,
                             double stored) {
  StreamingPlan out;
  bool leading = true;
  for (const StreamedLayer& layer : layers) {
    if (layer.bytes == 0) continue;
    if (leading && layer.bytes <= resident) {
      resident -= layer.bytes;
      continue;
    }
    leading = false;
    out.copied_bytes += layer.bytes;
    out.row_flops += layer.row_flops;
    if (layer.bytes <= host) {
      host -= layer.bytes;
    } else {
      out.read_bytes += layer.bytes * stored;
    }
  }
  return out;
}

StreamingRates assumed_rates(DeviceKind device, Numerics numerics) {
  if (device == DeviceKind::cpu) return {kCpuFlops, kDisk, 0};
  switch (numerics) {
    case Numerics::fp32: return {kGpuFp32, kDisk, kLink};
    case Numerics::fp8: return {kGpuFp8, kDisk, kLink};
    default: return {kGpuBf16, kDisk, kLink};
  }
}

double moving_seconds(const StreamingPlan& plan, const StreamingRates& rates) {
  return std::max(plan.read_bytes / rates.disk, rates.link > 0 ? plan.copied_bytes / rates.link : 0);
}

double break_even_rows(const StreamingPlan& plan, const StreamingRates& rates) {
  if (plan.copied_bytes == 0) return 0;
  return moving_seconds(plan, rates) * rates.flops / plan.row_flops;
}

std::optional<double> measure_disk(const std::filesystem::path& directory) {
  std::filesystem::path largest;
  uintmax_t size = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (entry.path().extension() != ".safetensors") continue;
    const uintmax_t bytes = entry.file_size(ignored);
    if (ignored || bytes <= size) continue;
    size = bytes;
    largest = entry.path();
  }
  const size_t pieces = size / kPiece;
  if (pieces < kFewestPieces) return {};
  const int file = ::open(largest.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (file < 0) return {};
  const std::unique_ptr<void, decltype(&std::free)> buffer(std::aligned_alloc(kAlignment, kPiece), &std::free);
  const auto start = std::chrono::steady_clock::now();
  double seconds = 0;
  size_t done = 0;
  for (; done < pieces && seconds < kMeasured; ++done) {  // in order, as layers are read
    if (::pread(file, buffer.get(), kPiece, static_cast<off_t>(done * kPiece)) != static_cast<ssize_t>(kPiece)) break;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  ::close(file);
  if (done < kFewestPieces || seconds <= 0) return {};
  return static_cast<double>(done * kPiece) / seconds;
}

}  // namespace assay::engine
