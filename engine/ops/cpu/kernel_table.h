// What one instruction set provides: inner loops over raw memory, behind a table of functions.
//
// DESCRIPTION
//
// packed_backend.cpp (plain C++, no special flags) decides what is multiplied by what, in which
// blocks and on which thread; the functions here do the arithmetic on one core. Each instruction
// set fills one KernelTable in its own translation unit; everything crosses the border as raw
// pointers, so that no inline function of the standard library is compiled with flags that another
// processor could not run.
//
// Shapes. Outputs come in panels of `panel` = 2 * lanes columns. A packed weight panel holds K
// (padded to even, zeros) times `panel` elements:
//   f32   [k][panel]
//   bf16  [k/2][panel][2]: one 32-bit word holds k and k+1 of an output
//   e4m3  [k/2][2 * panel], order within a pair of k chosen by the instruction set
// Packed activations hold, per K block and tile of `tile_rows` rows, [tile_rows][block] elements:
// fp32, or for bf16 and fp8 operands whatever the instruction set multiplies (`operand_bytes`).
//
// Accumulation order, the same for every function that makes a product: an output starts at zero
// and adds k ascending (pairs of k where the instruction set multiplies pairs). With block scales
// each block of 128 is summed from zero and added as (dot * row scale) * weight scale, blocks
// ascending. Nothing depends on the number of rows or panels in a call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace assay::engine::ops {

enum class Storage : int { f32, bf16, e4m3 };
// What activations become before they are multiplied: themselves, nearest bf16, or e4m3 quantised
// per 128 columns.
enum class Operand : int { f32, bf16, fp8 };

// Columns of K that are processed at once: 256 keeps a converted panel (16 KiB at 16 outputs) and a
// tile of activations in 32 KiB of L1; block-scaled weights use their own block.
inline constexpr int kBlock = 256;
inline constexpr int kScaledBlock = 128;
constexpr int block_of(Storage storage) { return storage == Storage::e4m3 ? kScaledBlock : kBlock; }
// Most columns of a K block of instruction sets that multiply tiles (MatrixProduct).
inline constexpr int kTileBlock = 1280;

// One K block of one weight panel times all rows of a block of activations.
struct BlockProduct {
  Storage storage;
  Operand operand;
  const void* weights;          // packed panel at the block's first k
  int columns;                  // k's in this block, <= block_of(storage)
  const void* activations;      // packed, first tile
  int rows;
  float* sums;                  // [rows][panel]
  bool first;                   // true: sums are overwritten
  const float* weight_scale;    // [panel] or null
  const float* row_scale;       // row i: row_scale[i * row_scale_stride], or null
  int64_t row_scale_stride;
  void* scratch;                // kBlock * panel floats: the converted panel
  const void* next;             // weights of the block that follows, fetched meanwhile; or null
  int64_t next_bytes;
};

// All of K for a few rows (at most tile_rows) and several panels: weights are read once, converted
// in registers. Same bits as BlockProduct.
struct ThinProduct {
  Storage storage;
  Operand operand;
  const uint8_t* weights;       // first panel
  int64_t panel_bytes;          // from panel to panel
  int panels;
  int64_t k;                    // padded to even
  const uint8_t* activations;   // packed: first block
  int64_t block_bytes;          // from K block to K block
  int rows;
  float* sums;                  // [panels][rows][panel]
  const float* weight_scale;    // [panels][blocks][panel] or null
  const float* row_scale;       // [rows][blocks] or null
};

// All of K for the rows and panels of a task, where the instruction set multiplies whole tiles; bf16
// or e4m3 weights, bf16 or fp8 operands. Same bits for any rows and panels.
// Activations: K blocks of `block` columns; in each, row tiles of 32; in each, steps of 32 columns;
// in each, rows 0-15 then 16-31, 64 bytes a row.
struct MatrixProduct {
  Storage storage;
  const uint8_t* weights;       // first panel
  int64_t panel_bytes;          // from panel to panel
  int panels;
  int64_t k;                    // padded to k_multiple
  const uint8_t* activations;   // first row tile of the first K block
  int64_t block;                // <= kTileBlock; a multiple of 128 where K has several
  int64_t block_bytes;          // from K block to K block
  int rows;
  float* sums;                  // [panels][sum_rows][panel]
  int sum_rows;                 // rows padded to 16; the padding is overwritten
  const float* weight_scale;    // [panels][blocks of 128][panel] or null
  const float* row_scale;       // [rows][blocks of 128] or null
  bool goes_on;                 // the panel behind the last will be wanted next
};

// Rows of one KV head (query row, head), ascending in `length`, over the positions of one segment.
struct AttentionTile {
  int rows;
  const float* const* query;    // [rows] -> key_dim + shared_dim floats
  float* const* out;            // [rows] -> value_dim floats
  const int64_t* length;        // [rows] positions that the row sees: 0 .. length-1
  int64_t positions;            // of the segment: length[rows - 1]
  const int32_t* slots;         // [positions]
  int key_dim, shared_dim, value_dim;
  bool bf16;                    // element type of key, shared, value
  const void *key, *shared, *value;  // of the KV head, slot 0
  int64_t key_stride, shared_stride, value_stride;  // elements
  float scale;
  float* scratch;               // attention_scratch(...) floats
};

inline constexpr int kMostAttentionRows = 256;

struct KernelTable {
  const char* name;
  int lanes, panel, tile_rows;
  int operand_bytes[3];         // bytes of a packed activation per Operand
  int k_multiple;               // packed weights have zeros up to a multiple of this many k's
  int attention_rows[2];        // most rows of an AttentionTile, by its `bf16`

  // rows[j] is output j's k elements, or null for zeros.
  void (*pack_f32)(const float* const* rows, int64_t k, void* out);
  void (*pack_bf16)(const uint16_t* const* rows, int64_t k, void* out);
  void (*pack_e4m3)(const uint8_t* const* rows, int64_t k, void* out);

  // One row of at most one block of activations; `out` is filled with zeros to an even count. fp8:
  // *scale is set (ue8m0: to a power of two).
  void (*pack_row)(Operand operand, const float* x, int columns, void* out, bool ue8m0,
                   float* scale);

  void (*block_product)(const BlockProduct& args);
  void (*thin_product)(const ThinProduct& args);

  // Both null where products are made by block_product and thin_product alone. Then: one row of at most
  // `block` activations to its lines of the first tile (2048 bytes from step to step, zeros up to a
  // whole step); fp8: sets one scale for each 128 columns.
  void (*pack_tile_row)(Operand operand, const float* x, int columns, void* out, bool ue8m0,
                        float* scale);
  void (*matrix_product)(const MatrixProduct& args);

  // Sums of one or several panels ([panel][sum_rows][panel]) to `out` (row stride `stride`): the first
  // `columns` outputs plus bias (may be null).
  void (*store)(const float* sums, int sum_rows, int rows, int64_t columns, const float* bias,
                float* out, int64_t stride);
  // A panel's sums hold `lanes` gates, then `lanes` ups: silu(gate) * up, the first `columns` of them
  // all.
  void (*store_swiglu)(const float* sums, int sum_rows, int rows, int64_t columns, float* out,
                       int64_t stride);
  // The same, rounded to bf16, as packed activations of a MatrixProduct from `first_column` on (a
  // multiple of 2 * lanes), zeros up to a whole step. K blocks of `block` columns, block_bytes apart.
  // Null where matrix_product is.
  void (*store_swiglu_packed)(const float* sums, int sum_rows, int rows, int64_t columns, uint8_t* out,
                              int64_t first_column, int64_t block, int64_t block_bytes);
  // out[row_of[r]] += weight[r] * sums of row r, in one multiply-add each.
  void (*accumulate_rows)(const float* sums, int sum_rows, int rows, int64_t columns,
                          const int32_t* row_of, const float* weight, float* out, int64_t stride);
  // Maximum, sum of e^(x - maximum) and first index of the maximum over `panels` panels of one row,
  // `panel_stride` floats apart. Unused columns hold -inf.
  void (*log_sum)(const float* sums, int64_t panel_stride, int panels, float* maximum, float* sum,
                  int32_t* index);

  // Floats of scratch an AttentionTile of attention_rows rows needs, of either type.
  int64_t (*attention_scratch)(int key_dim, int shared_dim, int value_dim);
  void (*attention)(const AttentionTile& args);

  void (*rms_norm)(const float* x, const float* weight, double eps, float* out, int64_t n);
  void (*to_bf16)(const float* x, uint16_t* out, int64_t n);
  void (*add)(float* accumulator, const float* x, int64_t n);

  // For peak.h: keep the multipliers busy with registers alone and return the operations done (two
  // per multiply-add), or read memory. busy_int8 is null where there is no such instruction.
  double (*busy_fp32)(int64_t rounds);
  double (*busy_bf16)(int64_t rounds);
  // As busy_bf16 with operands that are loaded from the first-level cache; null where that makes no
  // difference.
  double (*fed_bf16)(int64_t rounds);
  double (*busy_int8)(int64_t rounds);
  void (*read)(const void* data, size_t bytes);
};

const KernelTable& portable_kernels();
const KernelTable& avx2_kernels();    // call only where kernels_available(avx2)
const KernelTable& avx512_kernels();  // likewise
const KernelTable& amx_kernels();     // likewise

}  // namespace assay::engine::ops
