// What ranks that compute together tell each other.
//
// DESCRIPTION
//
// A Collective is one rank's end of a group. All ranks call the same operations in the same order with
// sizes that fit; an operation returns when this rank's part is done and its buffers may be reused.
// Memory is that of the backends whose rows are moved: host memory between CPU ranks (threads of one
// process: thread_collective.h; processes: mpi_collective.h), device memory over NCCL
// (nccl_collective.h), where operations are queued on the rank's stream.
//
// Determinism: data is moved, never added up: what must be summed across ranks is gathered and added
// in rank order by the caller. So results do not depend on the group's topology or algorithm.
//
// Threads: a rank's end is used by one thread at a time.
// Errors: when a rank gives up (abandon(), or its end is destroyed by an exception), the others' calls
// throw RankStopped instead of waiting for ever - as far as the implementation can tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"

namespace assay::engine {

// Another rank has given up; why, that one says.
class RankStopped : public Error {
 public:
  RankStopped() : Error(ErrorKind::resource, "another rank has stopped", "the group of ranks") {}
};

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  virtual void barrier() = 0;
  // root's `bytes` bytes to everybody's `data`.
  virtual void broadcast(std::byte* data, size_t bytes, int root) = 0;
  // Every rank's `bytes` bytes, in rank order, to everybody's `all` [size][bytes].
  virtual void all_gather(const std::byte* mine, size_t bytes, std::byte* all) = 0;
  // `send` holds what goes to rank 0, 1, ..., send_bytes[r] bytes each, one after the other; `receive`
  // gets what rank 0, 1, ... sent here, receive_bytes[r] bytes each.
  virtual void all_to_all(const std::byte* send, std::span<const int64_t> send_bytes,
                          std::byte* receive, std::span<const int64_t> receive_bytes) = 0;
  // From one rank to another (pipeline stages), in order. May wait until the other receives.
  virtual void send(const std::byte* data, size_t bytes, int to) = 0;
  virtual void receive(std::byte* data, size_t bytes, int from) = 0;
  // This rank will not take part any more.
  virtual void abandon() = 0;
};

}  // namespace assay::engine
