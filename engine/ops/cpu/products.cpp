#include "engine/ops/cpu/products.h"

#include <algorithm>

namespace assay::engine::ops {

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

void Products::run(std::span<const Product> products,
                   const std::function<void(const Tile&)>& epilogue) {
  wave_.clear();
  int64_t bytes = 0, scales = 0, tiles = 0;
  const auto flush = [&] {
    activations_.reserve(static_cast<size_t>(bytes));
    scales_.reserve(static_cast<size_t>(scales) * sizeof(float));
    run_wave(products, epilogue);
    wave_.clear();
    bytes = scales = tiles = 0;
  };
  for (size_t i = 0; i < products.size(); ++i) {
    const Product& product = products[i];
    const PackedPart& part = *product.part;
    if (product.rows == 0) continue;
    const int64_t tile_bytes =  // of all K
        part.blocks() * part.block() * table_.tile_rows *
        table_.operand_bytes[static_cast<int>(part.operand)];
    const int64_t all = ceil_div(product.rows, table_.tile_rows);
    const int64_t most = std::max<int64_t>(1, kWorkspaceBytes / tile_bytes);
    const int64_t pieces = ceil_div(all, most);
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const int64_t first = all * piece / pieces, last = all * (piece + 1) / pieces;
      if (!wave_.empty() && bytes + (last - first) * tile_bytes > kWorkspaceBytes) flush();
      Chunk chunk;
      chunk.product = i;
      chunk.first_row = first * table_.tile_rows;
      chunk.tiles = last - first;
      chunk.rows = std::min(product.rows, last * table_.tile_rows) - chunk.first_row;
      chunk.first_tile = tiles;
      chunk.block_bytes = chunk.tiles * (tile_bytes / part.blocks());
      chunk.offset = bytes;
      chunk.scale_offset = scales;
      bytes += chunk.tiles * tile_bytes;
      if (part.operand == Operand::fp8) scales += chunk.rows * part.blocks();
      tiles += chunk.tiles;
      wave_.push_back(chunk);
    }
  }
  if (!wave_.empty()) flush();
}

void Products::run_wave(std::span<const Product> products,
                        const std::function<void(const Tile&)>& epilogue) {
  const int64_t tiles = wave_.back().first_tile + wave_.back().tiles;
  workers_.for_ranges(tiles, 4, [&](int64_t begin, int64_t end) {
    auto chunk = std::upper_bound(wave_.begin(), wave_.end(), begin, [](int64_t tile, const Chunk& c) {
                   return tile < c.first_tile;
                 }) - 1;
    for (int64_t tile = begin; tile < end; ++tile) {
      while (tile >= chunk->first_tile + chunk->tiles) ++chunk;
      pack(products[chunk->product], *chunk, tile - chunk->first_tile);
    }
  });

  // Row blocks of a panel group are neighbours, so that its weights are still in cache.
  tasks_.clear();
  for (size_t c = 0; c < wave_.size(); ++c) {
    const Chunk& chunk = wave_[c];
    const int64_t row_blocks = ceil_div(chunk.rows, kRowBlock);
    const int64_t panels = products[chunk.product].part->panels;
    for (int64_t p = 0; p < panels; p += tile_panels()) {
      for (int64_t b = 0; b < row_blocks; ++b) {
        const int64_t first = chunk.tiles * b / row_blocks * table_.tile_rows;
        const int64_t last =
            std::min(chunk.rows, chunk.tiles * (b + 1) / row_blocks * table_.tile_rows);
        Tile tile;
        tile.product = chunk.product;
        tile.first_row = chunk.first_row + first;
        tile.rows = static_cast<int>(last - first);
        tile.first_panel = p;
        tile.panels = static_cast<int>(std::min<int64_t>(tile_panels(), panels - p));
        tasks_.push_back({c, tile});
      }
    }
  }
  workers_.for_each(static_cast<int64_t>(tasks_.size()), [&](int64_t i) {
    // A row block may exceed kRowBlock by less than a tile.
    alignas(64) float sums[kTileColumns * (kRowBlock + 16)];
    Task task = tasks_[static_cast<size_t>(i)];
    task.tile.sums = sums;
    compute(products[task.tile.product], wave_[task.chunk], task.tile);
    epilogue(task.tile);
  });
}

void Products::pack(const Product& product, const Chunk& chunk, int64_t tile) {
  const PackedPart& part = *product.part;
  const int64_t bytes = table_.operand_bytes[static_cast<int>(part.operand)];
  const int64_t block = part.block(), blocks = part.blocks();
  const int64_t first = tile * table_.tile_rows;
  const int64_t last = std::min<int64_t>(chunk.rows, first + table_.tile_rows);
  for (int64_t i = first; i < last; ++i) {
    const int64_t row = chunk.first_row + i;
    const float* x = product.x.row(product.gather != nullptr ? product.gather[row] : row);
    float* scale = scales_.as<float>() + chunk.scale_offset + i * blocks;
    for (int64_t b = 0; b < blocks; ++b) {
      std::byte* to = activations_.as<std::byte>() + chunk.offset + b * chunk.block_bytes +
                      i * block * bytes;
      const int64_t columns = std::min(block, part.k - b * block);
      table_.pack_row(part.operand, x + b * block, static_cast<int>(columns), to, ue8m0_, scale + b);
    }
  }
}

void Products::compute(const Product& product, const Chunk& chunk, const Tile& tile) const {
  const PackedPart& part = *product.part;
  const int64_t blocks = part.blocks(), block = part.block();
  const int64_t row = tile.first_row - chunk.first_row;
  const std::byte* activations =
      activations_.as<std::byte>() + chunk.offset +
      row * block * table_.operand_bytes[static_cast<int>(part.operand)];
  const float* row_scale = part.operand == Operand::fp8
                               ? scales_.as<float>() + chunk.scale_offset + row * blocks
                               : nullptr;
  const std::byte* weights = part.weights.as<std::byte>() + tile.first_panel * part.panel_bytes;
  const float* weight_scale =
      part.storage == Storage::e4m3
          ? part.scale.as<float>() + tile.first_panel * blocks * table_.panel
          : nullptr;

  if (tile.rows <= table_.tile_rows) {
    ThinProduct thin;
    thin.storage = part.storage;
    thin.operand = part.operand;
    thin.weights = reinterpret_cast<const uint8_t*>(weights);
    thin.panel_bytes = part.panel_bytes;
    thin.panels = tile.panels;
    thin.k = part.k + (part.k & 1);
    thin.activations = reinterpret_cast<const uint8_t*>(activations);
    thin.block_bytes = chunk.block_bytes;
    thin.rows = tile.rows;
    thin.sums = tile.sums;
    thin.weight_scale = weight_scale;
    thin.row_scale = row_scale;
    table_.thin_product(thin);
    return;
  }

  alignas(64) float scratch[kBlock * 64];  // panels of up to 64 columns
  BlockProduct p;
  p.storage = part.storage;
  p.operand = part.operand;
  p.rows = tile.rows;
  p.row_scale_stride = blocks;
  p.scratch = scratch;
  const int64_t padded = part.k + (part.k & 1);
  for (int64_t b = 0; b < blocks; ++b) {
    p.columns = static_cast<int>(std::min(block, part.k - b * block));
    p.activations = activations + b * chunk.block_bytes;
    p.first = b == 0;
    p.row_scale = row_scale == nullptr ? nullptr : row_scale + b;
    for (int j = 0; j < tile.panels; ++j) {
      p.weights = weights + j * part.panel_bytes + part.panel_bytes / padded * b * block;
      p.sums = tile.sums + static_cast<int64_t>(j) * tile.rows * table_.panel;
      p.weight_scale =
          weight_scale == nullptr ? nullptr : weight_scale + (j * blocks + b) * table_.panel;
      table_.block_product(p);
    }
  }
}

}  // namespace assay::engine::ops
