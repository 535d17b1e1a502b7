// Runs sets of matrix products on all workers: packs activations, cuts the work, calls the kernels.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/workers.h"
#include "engine/ops/cpu/aligned_buffer.h"
#include "engine/ops/cpu/kernel_table.h"
#include "engine/ops/cpu/packed_matrix.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

// rows of x (all of them, or those named by `gather`) times one part of a matrix.
struct Product {
  const PackedPart* part = nullptr;
  ConstRows x;
  const int32_t* gather = nullptr;  // [rows] rows of x, or null: 0 .. rows-1
  int64_t rows = 0;
};

// Sums of some rows and panels of a product: sums[(panel * rows + row) * table.panel + column].
struct Tile {
  size_t product = 0;
  int64_t first_row = 0;
  int rows = 0;
  int64_t first_panel = 0;
  int panels = 0;
  float* sums = nullptr;
};

// Not thread-safe; one object serves one backend and keeps its workspace.
class Products {
 public:
  Products(const KernelTable& table, const Workers& workers, bool ue8m0_activations)
      : table_(table), workers_(workers), ue8m0_(ue8m0_activations) {}

  // Panels of a tile: 128 columns, so that the sums of kRowBlock rows stay in the second-level cache
  // and log-sum-exp tiles are the same whatever else a call computes.
  int tile_panels() const { return kTileColumns / table_.panel; }

  // Computes every tile of every product once; `epilogue` runs on the worker that computed it.
  void run(std::span<const Product> products, const std::function<void(const Tile&)>& epilogue);

 private:
  static constexpr int kTileColumns = 128;
  // Rows of activations that one worker keeps in its second-level cache: 192 x 256 x 4 B = 192 KiB.
  static constexpr int kRowBlock = 192;
  // Packed activations at a time. Products beyond that run one after another.
  static constexpr int64_t kWorkspaceBytes = int64_t{48} << 20;

  // Rows [first_row, first_row + rows) of a product, packed.
  struct Chunk {
    size_t product;
    int64_t first_row, rows, tiles;
    int64_t first_tile;   // among all chunks of the wave
    int64_t block_bytes;  // of all tiles of one K block
    int64_t offset, scale_offset;
  };

  void run_wave(std::span<const Product> products, const std::function<void(const Tile&)>& epilogue);
  void pack(const Product& product, const Chunk& chunk, int64_t tile);
  void compute(const Product& product, const Chunk& chunk, const Tile& tile) const;

  const KernelTable& table_;
  const Workers& workers_;
  const bool ue8m0_;
  std::vector<Chunk> wave_;
  struct Task {
    size_t chunk;
    Tile tile;
  };
  std::vector<Task> tasks_;
  AlignedBuffer activations_, scales_;
};

}  // namespace assay::engine::ops
