// Memory for large arrays: aligned, on huge pages where the system has them, given back when unused.
//
// malloc touches such memory in pages of 4 KiB, which costs more time than filling them, and keeps
// what one thread took and another freed. Here blocks are cut from slabs of many megabytes, first
// fit, and a slab goes back to the system when its last block does. Thread-safe.
#pragma once

#include <cstddef>

namespace assay {

// Uninitialised (or zero) memory, aligned to 64 bytes. Throws std::bad_alloc.
void* take_block(std::size_t bytes);
// `bytes` as they were asked for; null is allowed.
void give_block(void* block, std::size_t bytes) noexcept;

}  // namespace assay
