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
  const uint8_t* packed = nullptr;  // instead of x: as Products::packed_layout says
};

// Activations that a product takes as they are (MatrixProduct): K blocks of `block` columns,
// block_bytes apart.
struct PackedLayout {
  int64_t block = 0, block_bytes = 0, bytes = 0;
};

// Who computes what: any tile on any worker; or all tiles of an output on one worker, in the order of
// the products, so that an epilogue may add to what earlier products left (all of equal n).
enum class Order { any, by_product };

// Sums of some rows and panels of a product: sums[(panel * sum_rows + row) * table.panel + column].
struct Tile {
  size_t product = 0;
  int64_t first_row = 0;
  int rows = 0;
  int64_t first_panel = 0;
  int panels = 0;
  float* sums = nullptr;
  int sum_rows = 0;  // >= rows
};

// Not thread-safe; one object serves one backend and keeps its workspace.
class Products {
 public:
  Products(const KernelTable& table, const Workers& workers, bool ue8m0_activations)
      : table_(table), workers_(workers), ue8m0_(ue8m0_activations) {}

  // Panels of 128 columns: what log-sum-exp summaries are made of, the same whatever else a call
  // computes.
  int summary_panels() const { return kSummaryColumns / table_.panel; }

  // Computes every tile of every product once; `epilogue` runs on the worker that computed it. Tiles
  // begin at multiples of `panel_multiple`.
  void run(std::span<const Product> products, const std::function<void(const Tile&)>& epilogue,
           int panel_multiple = 1, Order order = Order::any);

  // Whether products with `part` take packed bf16 activations, and how those of `rows` rows look.
  bool takes_packed(const PackedPart& part) const;
  PackedLayout packed_layout(const PackedPart& part, int64_t rows) const;

 private:
  static constexpr int kSummaryColumns = 128;
  // Packed activations at a time. Products beyond that run one after another.
  static constexpr int64_t kWorkspaceBytes = int64_t{48} << 20;

  // How a product is cut; a function of its part alone, but for `panels`.
  struct Geometry {
    bool tiles = false;    // made by KernelTable::matrix_product
    int64_t block = 0;     // columns of a K block
    int64_t blocks = 0;
    int tile_rows = 0;     // rows that are packed together
    int64_t tile_bytes = 0;  // of one K block
    int64_t row_block = 0;   // most rows of a task
    int64_t panels = 0;      // of a task
  };
  Geometry geometry(const PackedPart& part) const;
  // Which tiles make a group, that is, run on one worker in order: each its own; all of some rows (a
  // worker packs them itself, and its share of the rows is the same in every op); all of some columns.
  enum class Grouping { tile, rows, columns };
  Grouping grouping(std::span<const Product> products, Order order) const;
  int64_t all_panels(std::span<const Product> products) const;
  // Panels of a task; `all`: of all products, once for each of their row blocks.
  int64_t task_panels(const Product& product, const Geometry& g, int64_t all, int panel_multiple,
                      Grouping grouping) const;

  // Rows [first_row, first_row + rows) of a product, packed.
  struct Chunk {
    size_t product;
    Geometry geometry;
    int64_t first_row, rows, tiles;
    int64_t first_tile;   // among all chunks of the wave
    int64_t block_bytes;  // of all tiles of one K block
    int64_t offset, scale_offset;
  };

  void run_wave(std::span<const Product> products, const std::function<void(const Tile&)>& epilogue,
                Grouping grouping);
  void make_tasks(std::span<const Product> products, Grouping grouping);
  void run_group(std::span<const Product> products, const std::function<void(const Tile&)>& epilogue,
                 size_t group, bool pack_first);
  void pack(const Product& product, const Chunk& chunk, int64_t tile);
  void pack_row(const Product& product, const Chunk& chunk, int64_t row, const float* x);
  void compute(const Product& product, const Chunk& chunk, const Tile& tile) const;
  void compute_tiles(const Product& product, const Chunk& chunk, const Tile& tile) const;
  // Of the first row of a tile, in the chunk's first K block.
  const uint8_t* activations(const Product& product, const Chunk& chunk, const Tile& tile) const;
  const float* row_scale(const Product& product, const Chunk& chunk, const Tile& tile) const;
  const float* weight_scale(const Product& product, const Tile& tile) const;

  const KernelTable& table_;
  const Workers& workers_;
  const bool ue8m0_;
  std::vector<Chunk> wave_;
  bool goes_on_ = false;  // MatrixProduct::goes_on
  struct Task {
    size_t chunk;
    Tile tile;
  };
  std::vector<Task> tasks_;
  std::vector<size_t> first_task_;  // of each group
  AlignedBuffer activations_, scales_;
};

}  // namespace assay::engine::ops
