#include "engine/ops/cpu/products.h"

#include <algorithm>
#include <atomic>

namespace assay::engine::ops {

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Vectors: rows of activations that one worker keeps in its second-level cache, 192 x 256 x 4 B, and
// outputs whose sums stay there with them.
constexpr int64_t kVectorRows = 192;
constexpr int64_t kVectorColumns = 128;

// Tiles (2 MiB of second-level cache, 142 FLOP a byte beyond it to keep up with 3.7 TFLOP/s from
// 26 GB/s a core): one K block of a task's activations stays there, weights stream through.
constexpr int kTileRows = 32;
constexpr int64_t kTileActivationBytes = int64_t{1} << 20;
// Where K has several blocks, activations are read again for each task: as many columns as their
// sums leave room for.
constexpr int64_t kDeepRows = 384, kDeepColumns = 256;
// Tasks a worker, so that none waits long for the last; fewer where a task spans many products.
constexpr int64_t kTasks = 8, kColumnTasks = 2;
// Vectors: tasks a worker from which on one more or less does not matter.
constexpr int64_t kEvenTasks = 24;
// Rows a worker from which on each has its own, and reads all weights, unless these are much larger than
// what the workers would take from each other (the head); groups of rows a worker where there are many
// products.
constexpr int64_t kLeastRows = 128, kMostWeights = int64_t{64} << 20, kGroups = 4;

}  // namespace

Products::Geometry Products::geometry(const PackedPart& part) const {
  const int64_t bytes = table_.operand_bytes[static_cast<int>(part.operand)];
  Geometry g;
  g.tiles = table_.matrix_product != nullptr && part.operand != Operand::f32;
  if (!g.tiles) {
    g.block = block_of(part.storage);
    g.blocks = ceil_div(part.k, g.block);
    g.tile_rows = table_.tile_rows;
    g.row_block = kVectorRows;
  } else {
    const int64_t k = part.padded_k;
    g.blocks = ceil_div(k, kTileBlock);
    g.block = g.blocks == 1 ? k : round_up(ceil_div(k, g.blocks), kScaledBlock);
    g.blocks = ceil_div(k, g.block);
    g.tile_rows = kTileRows;
    g.row_block = std::max<int64_t>(
        kTileRows, kTileActivationBytes / (g.block * bytes) / kTileRows * kTileRows);
    if (g.blocks > 1) g.row_block = std::min(g.row_block, kDeepRows);
  }
  g.tile_bytes = g.block * g.tile_rows * bytes;
  return g;
}

Products::Grouping Products::grouping(std::span<const Product> products, Order order) const {
  int64_t row_blocks = 0, used = 0, rows = 0, weights = 0;
  bool tiles = true;
  for (const Product& product : products) {
    if (product.rows == 0) continue;
    const Geometry g = geometry(*product.part);
    tiles = tiles && g.tiles;
    row_blocks += ceil_div(product.rows, g.row_block);
    ++used;
    rows = product.rows;
    weights = product.part->panels * product.part->panel_bytes;
  }
  const int64_t threads = workers_.threads();
  if (order == Order::by_product && used > 1) return Grouping::columns;
  if (!tiles) return Grouping::tile;
  if (used == 1) {
    return rows >= threads * kLeastRows && weights <= kMostWeights ? Grouping::rows : Grouping::tile;
  }
  return row_blocks >= threads * kGroups ? Grouping::rows : Grouping::tile;
}

int64_t Products::all_panels(std::span<const Product> products) const {
  int64_t all = 0;
  for (const Product& product : products) {
    if (product.rows == 0) continue;
    all += ceil_div(product.rows, geometry(*product.part).row_block) * product.part->panels;
  }
  return all;
}

int64_t Products::task_panels(const Product& product, const Geometry& g, int64_t all,
                              int panel_multiple, Grouping grouping) const {
  const int64_t panels = product.part->panels, threads = workers_.threads();
  const int64_t most = (g.tiles ? kDeepColumns : kVectorColumns) / table_.panel;
  int64_t count = most;
  if (grouping == Grouping::columns) {
    count = std::clamp<int64_t>(panels / (threads * kColumnTasks), 1, most);
  } else if (grouping == Grouping::tile && g.tiles) {
    count = std::clamp<int64_t>(all / (threads * kTasks), 1, most);
  } else if (grouping == Grouping::tile && all == ceil_div(product.rows, g.row_block) * panels) {
    // One product of few tasks: as many for each worker (7 for two would take the time of 8).
    const int64_t row_blocks = all / panels;
    int64_t tasks = ceil_div(panels, most);
    while (tasks * row_blocks < threads * kEvenTasks && tasks * row_blocks % threads != 0 && tasks < panels) ++tasks;
    count = ceil_div(panels, tasks);
  }
  return round_up(count, panel_multiple);
}

bool Products::takes_packed(const PackedPart& part) const {
  return table_.store_swiglu_packed != nullptr && part.operand == Operand::bf16;
}

PackedLayout Products::packed_layout(const PackedPart& part, int64_t rows) const {
  const Geometry g = geometry(part);
  const int64_t block_bytes = ceil_div(rows, g.tile_rows) * g.tile_bytes;
  return {g.block, block_bytes, block_bytes * g.blocks};
}

void Products::run(std::span<const Product> products,
                   const std::function<void(const Tile&)>& epilogue, int panel_multiple,
                   Order order) {
  const Grouping grouping = this->grouping(products, order);
  const int64_t panels = all_panels(products);
  wave_.clear();
  int64_t bytes = 0, scales = 0, tiles = 0;
  const auto flush = [&] {
    activations_.reserve(static_cast<size_t>(bytes));
    scales_.reserve(static_cast<size_t>(scales) * sizeof(float));
    run_wave(products, epilogue, grouping);
    wave_.clear();
    bytes = scales = tiles = 0;
  };
  for (size_t i = 0; i < products.size(); ++i) {
    const Product& product = products[i];
    const PackedPart& part = *product.part;
    if (product.rows == 0) continue;
    Geometry g = geometry(part);
    g.panels = task_panels(product, g, panels, panel_multiple, grouping);
    const int64_t tile_bytes = product.packed == nullptr ? g.blocks * g.tile_bytes : 0;  // of all K
    const int64_t all = ceil_div(product.rows, g.tile_rows);
    const int64_t most = tile_bytes == 0 ? all : std::max<int64_t>(1, kWorkspaceBytes / tile_bytes);
    const int64_t pieces = ceil_div(all, most);
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const int64_t first = all * piece / pieces, last = all * (piece + 1) / pieces;
      if (!wave_.empty() && bytes + (last - first) * tile_bytes > kWorkspaceBytes) flush();
      Chunk chunk;
      chunk.product = i;
      chunk.geometry = g;
      chunk.first_row = first * g.tile_rows;
      chunk.tiles = last - first;
      chunk.rows = std::min(product.rows, last * g.tile_rows) - chunk.first_row;
      chunk.first_tile = tiles;
      chunk.block_bytes = chunk.tiles * g.tile_bytes;
      chunk.offset = bytes;
      chunk.scale_offset = scales;
      bytes += chunk.tiles * tile_bytes;
      if (part.operand == Operand::fp8) scales += chunk.rows * part.scale_blocks();
      tiles += chunk.tiles;
      wave_.push_back(chunk);
    }
  }
  if (!wave_.empty()) flush();
}

void Products::run_wave(std::span<const Product> products,
                        const std::function<void(const Tile&)>& epilogue, Grouping grouping) {
  make_tasks(products, grouping);
  const auto groups = static_cast<int64_t>(first_task_.size()) - 1;
  const bool own_rows = grouping == Grouping::rows;
  const bool alone = wave_.size() == 1;
  goes_on_ = own_rows || (alone && grouping == Grouping::tile);
  if (!own_rows) {
    const int64_t tiles = wave_.back().first_tile + wave_.back().tiles;
    workers_.for_ranges(tiles, 4, [&](int64_t begin, int64_t end) {
      auto chunk =
          std::upper_bound(wave_.begin(), wave_.end(), begin,
                           [](int64_t tile, const Chunk& c) { return tile < c.first_tile; }) - 1;
      for (int64_t tile = begin; tile < end; ++tile) {
        while (tile >= chunk->first_tile + chunk->tiles) ++chunk;
        pack(products[chunk->product], *chunk, tile - chunk->first_tile);
      }
    });
  }
  if (alone && grouping != Grouping::columns && wave_[0].geometry.tiles) {
    // Equal work: each worker its share, rows or panels that are neighbours.
    workers_.for_shares(groups, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        run_group(products, epilogue, static_cast<size_t>(i), own_rows);
      }
    });
    return;
  }
  // In order, so that neighbours run at the same time on the same or another worker.
  std::atomic<int64_t> next{0};
  workers_.for_each(std::min<int64_t>(workers_.threads(), groups), [&](int64_t) {
    for (int64_t group = next++; group < groups; group = next++) {
      run_group(products, epilogue, static_cast<size_t>(group), own_rows);
    }
  });
}

void Products::run_group(std::span<const Product> products,
                         const std::function<void(const Tile&)>& epilogue, size_t group,
                         bool pack_first) {
  thread_local AlignedBuffer sums;
  for (size_t i = first_task_[group]; i < first_task_[group + 1]; ++i) {
    Task& task = tasks_[i];
    const Chunk& chunk = wave_[task.chunk];
    const Product& product = products[task.tile.product];
    if (pack_first && i == first_task_[group]) {
      const int64_t row = task.tile.first_row - chunk.first_row, height = chunk.geometry.tile_rows;
      for (int64_t t = row / height; t < ceil_div(row + task.tile.rows, height); ++t) {
        pack(product, chunk, t);
      }
    }
    sums.reserve(static_cast<size_t>(task.tile.panels) * static_cast<size_t>(table_.panel) *
                 static_cast<size_t>(task.tile.sum_rows) * sizeof(float));
    task.tile.sums = sums.as<float>();
    if (chunk.geometry.tiles) {
      compute_tiles(product, chunk, task.tile);
    } else {
      compute(product, chunk, task.tile);
    }
    epilogue(task.tile);
  }
}

void Products::make_tasks(std::span<const Product> products, Grouping grouping) {
  tasks_.clear();
  first_task_.clear();
  const auto add = [&](size_t c, int64_t block, int64_t row_blocks, int64_t panel) {
    const Chunk& chunk = wave_[c];
    const Geometry& g = chunk.geometry;
    const int64_t first = chunk.tiles * block / row_blocks * g.tile_rows;
    const int64_t last = std::min(chunk.rows, chunk.tiles * (block + 1) / row_blocks * g.tile_rows);
    Tile tile;
    tile.product = chunk.product;
    tile.first_row = chunk.first_row + first;
    tile.rows = static_cast<int>(last - first);
    tile.first_panel = panel;
    tile.panels = static_cast<int>(
        std::min<int64_t>(g.panels, products[chunk.product].part->panels - panel));
    tile.sum_rows = g.tiles ? static_cast<int>(round_up(tile.rows, 16)) : tile.rows;
    if (grouping == Grouping::tile) first_task_.push_back(tasks_.size());
    tasks_.push_back({c, tile});
  };
  const auto row_blocks = [&](const Chunk& chunk) {
    const int64_t blocks = ceil_div(chunk.rows, chunk.geometry.row_block);
    // Equal shares of the rows of a single product.
    return grouping == Grouping::rows && wave_.size() == 1
               ? std::min(chunk.tiles, round_up(blocks, workers_.threads()))
               : blocks;
  };
  if (grouping == Grouping::columns) {
    const int64_t panels = products[wave_[0].product].part->panels;
    for (int64_t p = 0; p < panels; p += wave_[0].geometry.panels) {
      first_task_.push_back(tasks_.size());
      for (size_t c = 0; c < wave_.size(); ++c) {
        for (int64_t b = 0; b < row_blocks(wave_[c]); ++b) add(c, b, row_blocks(wave_[c]), p);
      }
    }
  } else {
    for (size_t c = 0; c < wave_.size(); ++c) {
      const Chunk& chunk = wave_[c];
      const int64_t blocks = row_blocks(chunk), step = chunk.geometry.panels;
      const int64_t panels = products[chunk.product].part->panels;
      // Neighbours share what stays in cache: tiles the activations, vectors the weights.
      if (chunk.geometry.tiles) {
        for (int64_t b = 0; b < blocks; ++b) {
          if (grouping == Grouping::rows) first_task_.push_back(tasks_.size());
          for (int64_t p = 0; p < panels; p += step) add(c, b, blocks, p);
        }
      } else {
        for (int64_t p = 0; p < panels; p += step) {
          for (int64_t b = 0; b < blocks; ++b) add(c, b, blocks, p);
        }
      }
    }
  }
  first_task_.push_back(tasks_.size());
}

void Products::pack(const Product& product, const Chunk& chunk, int64_t tile) {
  if (product.packed != nullptr) return;
  const int64_t first = tile * chunk.geometry.tile_rows;
  const int64_t last = std::min<int64_t>(chunk.rows, first + chunk.geometry.tile_rows);
  for (int64_t i = first; i < last; ++i) {
    const int64_t row = chunk.first_row + i;
    pack_row(product, chunk, i,
             product.x.row(product.gather != nullptr ? product.gather[row] : row));
  }
}

void Products::pack_row(const Product& product, const Chunk& chunk, int64_t row, const float* x) {
  const PackedPart& part = *product.part;
  const Geometry& g = chunk.geometry;
  const int64_t scale_blocks = part.scale_blocks();
  float* scale = scales_.as<float>() + chunk.scale_offset + row * scale_blocks;
  std::byte* out = activations_.as<std::byte>() + chunk.offset;
  if (g.tiles) {
    constexpr int64_t kLine = 64, kHalf = 16 * kLine;
    out += row / g.tile_rows * g.tile_bytes + row % kTileRows / 16 * kHalf + row % 16 * kLine;
  } else {
    out += row * g.block * table_.operand_bytes[static_cast<int>(part.operand)];
  }
  for (int64_t b = 0; b < g.blocks; ++b, out += chunk.block_bytes) {
    const auto columns = static_cast<int>(std::min(g.block, part.k - b * g.block));
    const auto pack = g.tiles ? table_.pack_tile_row : table_.pack_row;
    pack(part.operand, x + b * g.block, columns, out, ue8m0_, scale + b * g.block / kScaledBlock);
  }
}

const uint8_t* Products::activations(const Product& product, const Chunk& chunk,
                                     const Tile& tile) const {
  const Geometry& g = chunk.geometry;
  const int64_t row = tile.first_row - chunk.first_row;  // of the chunk: a packed product has one
  const uint8_t* base =
      product.packed != nullptr ? product.packed : activations_.as<uint8_t>() + chunk.offset;
  return base + row / g.tile_rows * g.tile_bytes;
}

const float* Products::row_scale(const Product& product, const Chunk& chunk, const Tile& tile) const {
  if (product.part->operand != Operand::fp8) return nullptr;
  return scales_.as<float>() + chunk.scale_offset +
         (tile.first_row - chunk.first_row) * product.part->scale_blocks();
}

const float* Products::weight_scale(const Product& product, const Tile& tile) const {
  const PackedPart& part = *product.part;
  if (part.storage != Storage::e4m3) return nullptr;
  return part.scale.as<float>() + tile.first_panel * part.scale_blocks() * table_.panel;
}

void Products::compute_tiles(const Product& product, const Chunk& chunk, const Tile& tile) const {
  const PackedPart& part = *product.part;
  MatrixProduct p;
  p.storage = part.storage;
  p.weights = part.weights.as<uint8_t>() + tile.first_panel * part.panel_bytes;
  p.panel_bytes = part.panel_bytes;
  p.panels = tile.panels;
  p.k = part.padded_k;
  p.activations = activations(product, chunk, tile);
  p.block = chunk.geometry.block;
  p.block_bytes = chunk.block_bytes;
  p.rows = tile.rows;
  p.sums = tile.sums;
  p.sum_rows = tile.sum_rows;
  p.weight_scale = weight_scale(product, tile);
  p.row_scale = row_scale(product, chunk, tile);
  p.goes_on = goes_on_;
  table_.matrix_product(p);
}

void Products::compute(const Product& product, const Chunk& chunk, const Tile& tile) const {
  const PackedPart& part = *product.part;
  const Geometry& g = chunk.geometry;
  const uint8_t* x = activations(product, chunk, tile);
  const uint8_t* weights = part.weights.as<uint8_t>() + tile.first_panel * part.panel_bytes;
  const float* scale = weight_scale(product, tile);
  const float* scale_of_row = row_scale(product, chunk, tile);

  if (tile.rows <= table_.tile_rows) {
    ThinProduct thin;
    thin.storage = part.storage;
    thin.operand = part.operand;
    thin.weights = weights;
    thin.panel_bytes = part.panel_bytes;
    thin.panels = tile.panels;
    thin.k = part.k + (part.k & 1);
    thin.activations = x;
    thin.block_bytes = chunk.block_bytes;
    thin.rows = tile.rows;
    thin.sums = tile.sums;
    thin.weight_scale = scale;
    thin.row_scale = scale_of_row;
    table_.thin_product(thin);
    return;
  }

  alignas(64) float scratch[kBlock * 64];  // panels of up to 64 columns
  BlockProduct p;
  p.storage = part.storage;
  p.operand = part.operand;
  p.rows = tile.rows;
  p.row_scale_stride = g.blocks;
  p.scratch = scratch;
  for (int64_t b = 0; b < g.blocks; ++b) {
    p.columns = static_cast<int>(std::min(g.block, part.k - b * g.block));
    p.activations = x + b * chunk.block_bytes;
    p.first = b == 0;
    p.row_scale = scale_of_row == nullptr ? nullptr : scale_of_row + b;
    const int64_t column_bytes = part.panel_bytes / part.padded_k;
    for (int j = 0; j < tile.panels; ++j) {
      p.weights = weights + j * part.panel_bytes + column_bytes * b * g.block;
      const bool last = j + 1 == tile.panels;
      const int64_t next = last ? b + 1 : b;  // K block of the panel that follows
      p.next = next == g.blocks ? nullptr
                                : weights + (last ? 0 : j + 1) * part.panel_bytes + column_bytes * next * g.block;
      p.next_bytes = column_bytes * std::min(g.block, part.k - next * g.block);
      p.sums = tile.sums + static_cast<int64_t>(j) * tile.sum_rows * table_.panel;
      p.weight_scale = scale == nullptr ? nullptr : scale + (j * g.blocks + b) * table_.panel;
      table_.block_product(p);
    }
  }
}

}  // namespace assay::engine::ops
