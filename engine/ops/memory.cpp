// The memory of backends that compute on the host (ops.h).
#include <cstring>
#include <new>

#include "base/blocks.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops {

OutOfMemory::OutOfMemory(size_t bytes, const std::string& what)
    : Error(ErrorKind::resource, "no memory for " + std::to_string(bytes) + " bytes of " + what, {},
            "give a smaller --memory (of a GPU: --gpu-memory) or --pass-tokens") {}

std::byte* Backend::allocate(size_t bytes) const {
  try {
    return static_cast<std::byte*>(take_block(bytes));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void Backend::release(std::byte* memory, size_t bytes) const { give_block(memory, bytes); }

void Backend::upload(std::byte* to, const void* from, size_t bytes) const {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Backend::download(void* to, const std::byte* from, size_t bytes) const {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

std::unique_ptr<Matrix> Backend::load(const KeptMatrix&) const {
  throw_internal("nothing was kept", "engine/ops");
}

}  // namespace assay::engine::ops
