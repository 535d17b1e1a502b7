#include "engine/distributed/mpi_collective.h"

#include <sched.h>

#include <algorithm>
#include <string>
#include <vector>

namespace assay::engine {

namespace {

constexpr int kRows = 1, kStopped = 2;            // tags
constexpr size_t kPiece = size_t{1} << 30;  // bytes of a message: MPI counts in int

class MpiCollective final : public Collective {
 public:
  MpiCollective(MPI_Comm rows, MPI_Comm notices) : rows_(rows), notices_(notices) {
    check_mpi(MPI_Comm_rank(rows, &rank_), "rank");
    check_mpi(MPI_Comm_size(rows, &size_), "number of ranks");
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void barrier() override {
    check_mpi(MPI_Ibarrier(rows_, &begin()), "barrier");
    wait();
  }
  void broadcast(std::byte* data, size_t bytes, int root) override {
    for (size_t at = 0; at < bytes; at += kPiece) {
      check_mpi(MPI_Ibcast(data + at, count(bytes - at), MPI_BYTE, root, rows_, &begin()), "broadcast");
    }
    wait();
  }
  void all_gather(const std::byte* mine, size_t bytes, std::byte* all) override {
    for (int r = 0; r < size_; ++r) {
      begin_receive(all + static_cast<size_t>(r) * bytes, bytes, r);
      begin_send(mine, bytes, r);
    }
    wait();
  }
  void all_to_all(const std::byte* send, std::span<const int64_t> send_bytes, std::byte* receive,
                  std::span<const int64_t> receive_bytes) override {
    for (int r = 0; r < size_; ++r) {
      const auto in = static_cast<size_t>(receive_bytes[static_cast<size_t>(r)]);
      const auto out = static_cast<size_t>(send_bytes[static_cast<size_t>(r)]);
      begin_receive(receive, in, r);
      begin_send(send, out, r);
      receive += in;
      send += out;
    }
    wait();
  }
  void send(const std::byte* data, size_t bytes, int to) override {
    begin_send(data, bytes, to);
    wait();
  }
  void receive(std::byte* data, size_t bytes, int from) override {
    begin_receive(data, bytes, from);
    wait();
  }
  void abandon() override {
    if (stopped_) return;
    stopped_ = true;
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      MPI_Request request;
      MPI_Isend(nullptr, 0, MPI_BYTE, r, kStopped, notices_, &request);
      MPI_Request_free(&request);
    }
  }

 private:
  static int count(size_t bytes) { return static_cast<int>(std::min(bytes, kPiece)); }
  MPI_Request& begin() {
    if (stopped_) throw RankStopped();
    return requests_.emplace_back(MPI_REQUEST_NULL);
  }
  void begin_send(const std::byte* data, size_t bytes, int to) {
    for (size_t at = 0; at < bytes; at += kPiece) {
      check_mpi(MPI_Isend(data + at, count(bytes - at), MPI_BYTE, to, kRows, rows_, &begin()), "sending rows");
    }
  }
  void begin_receive(std::byte* data, size_t bytes, int from) {
    for (size_t at = 0; at < bytes; at += kPiece) {
      check_mpi(MPI_Irecv(data + at, count(bytes - at), MPI_BYTE, from, kRows, rows_, &begin()), "receiving rows");
    }
  }
  // For all that has begun.
  void wait() {
    for (;;) {
      int done = 0;
      check_mpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE),
                "waiting for the ranks");
      if (done != 0) break;
      int left = 0;
      check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kStopped, notices_, &left, MPI_STATUS_IGNORE), "waiting for the ranks");
      if (left != 0) {
        // What has begun may never end; its buffers are given up with this rank's job.
        stopped_ = true;
        requests_.clear();
        throw RankStopped();
      }
      ::sched_yield();
    }
    requests_.clear();
  }

  const MPI_Comm rows_, notices_;
  int rank_ = 0, size_ = 1;
  bool stopped_ = false;
  std::vector<MPI_Request> requests_;
};

}  // namespace

void check_mpi(int status, const char* what) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw_resource(std::string(what) + ": " + std::string(text, static_cast<size_t>(length)), "MPI");
}

std::unique_ptr<Collective> make_mpi_collective(MPI_Comm rows, MPI_Comm notices) {
  return std::make_unique<MpiCollective>(rows, notices);
}

}  // namespace assay::engine
