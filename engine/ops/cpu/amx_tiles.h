// Tile registers of AMX, for the translation units compiled with its flags (room.cmake).
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "engine/ops/cpu/kernel_table.h"

namespace assay::engine::ops {

// Attention over bf16 keys and values (amx_attention.cpp).
inline constexpr int kAmxAttentionRows = kMostAttentionRows;
int64_t amx_attention_scratch(int key_dim, int shared_dim, int value_dim);
void amx_attention(const AttentionTile& args);

namespace {

constexpr int kStep = 32;              // k's of a TDPBF16PS
constexpr int kTile = 1024;            // bytes of a tile register
constexpr int kStepBytes = 2 * kTile;  // of two tiles

// All eight registers: 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileConfig kTileConfig;

// Tile registers are in use while one of these lives.
struct Tiles {
  Tiles() { _tile_loadconfig(&kTileConfig); }
  ~Tiles() { _tile_release(); }
};

}  // namespace

}  // namespace assay::engine::ops
