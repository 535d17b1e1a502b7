// Memory for large arrays: aligned, used again before fresh memory is touched, given back when unused.
//
// malloc keeps what one thread took and another freed, so that streamed weights would pile up. Here
// blocks are cut from slabs of many megabytes, first fit; empty slabs are kept for the next blocks up
// to a limit, others go back to the system. Thread-safe. (Huge pages: on a virtual machine that hands
// free huge pages back to its host, touching 1 GiB of them took 2.5 s against 0.4 s in small pages.)
#pragma once

#include <cstddef>

namespace assay {

// Uninitialised (or zero) memory, aligned to 64 bytes. Throws std::bad_alloc.
void* take_block(std::size_t bytes);
// `bytes` as they were asked for; null is allowed.
void give_block(void* block, std::size_t bytes) noexcept;

}  // namespace assay
