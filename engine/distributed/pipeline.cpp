#include "engine/distributed/pipeline.h"

#include "base/error.h"

namespace assay::engine {

bool PipelineRanks::decide(bool mine) {
  int64_t decision = mine ? 1 : 0;
  const std::span<std::byte> data = std::as_writable_bytes(std::span(&decision, 1));
  if (ranks_.rank() > 0) numbers_.receive(data, ranks_.rank() - 1);
  if (!last()) numbers_.send(data, ranks_.rank() + 1);
  return decision != 0;
}

// The runner's rows are dense.
void PipelineRanks::receive_rows(ops::Rows x) {
  if (x.stride != x.cols) throw_internal("rows with gaps", "engine/distributed");
  ranks_.receive(reinterpret_cast<std::byte*>(x.data), static_cast<size_t>(x.rows * x.cols) * sizeof(float),
                 ranks_.rank() - 1);
}

void PipelineRanks::send_rows(ops::ConstRows x) {
  if (x.stride != x.cols) throw_internal("rows with gaps", "engine/distributed");
  ranks_.send(reinterpret_cast<const std::byte*>(x.data), static_cast<size_t>(x.rows * x.cols) * sizeof(float),
              ranks_.rank() + 1);
}

}  // namespace assay::engine
