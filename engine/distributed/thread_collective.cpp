#include "engine/distributed/thread_collective.h"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <string>

#include "base/error.h"

namespace assay::engine {

namespace {

constexpr size_t kMessages = 4;

// What the ranks of a group share: a barrier that can be broken, and what each rank shows the others
// between two barriers.
struct Group {
  explicit Group(int ranks)
      : shown(static_cast<size_t>(ranks)), mailboxes(static_cast<size_t>(ranks * ranks)) {}

  struct Shown {
    const std::byte* data = nullptr;
    size_t bytes = 0;
    std::vector<int64_t> offsets;  // all_to_all: where each rank's part begins, and the end
  };
  std::vector<Shown> shown;

  struct Mailbox {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::vector<std::byte>> messages;
    bool closed = false;
  };
  std::vector<Mailbox> mailboxes;  // [from][to]

  void wait() {
    std::unique_lock lock(mutex);
    const uint64_t own = round;
    if (!broken && ++arrived == static_cast<int>(shown.size())) {
      arrived = 0;
      ++round;
      changed.notify_all();
      return;
    }
    changed.wait(lock, [&] { return broken || round != own; });
    if (round == own) throw RankStopped();
  }
  void abandon() {
    {
      const std::lock_guard lock(mutex);
      broken = true;
      changed.notify_all();
    }
    for (Mailbox& box : mailboxes) {
      const std::lock_guard lock(box.mutex);
      box.closed = true;
      box.changed.notify_all();
    }
  }

 private:
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  uint64_t round = 0;
  bool broken = false;
};

class ThreadCollective final : public Collective {
 public:
  ThreadCollective(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}
  ~ThreadCollective() override {
    if (std::uncaught_exceptions() > exceptions_) group_->abandon();
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(group_->shown.size()); }
  void barrier() override { group_->wait(); }

  void broadcast(std::byte* data, size_t bytes, int root) override {
    show(data, bytes);
    if (rank_ != root) {
      require(at(root).bytes == bytes, "broadcast: sizes differ");
      copy(data, at(root).data, bytes);
    }
    group_->wait();
  }
  void all_gather(const std::byte* mine, size_t bytes, std::byte* all) override {
    show(mine, bytes);
    for (int r = 0; r < size(); ++r) {
      require(at(r).bytes == bytes, "all_gather: sizes differ");
      copy(all + static_cast<size_t>(r) * bytes, at(r).data, bytes);
    }
    group_->wait();
  }
  void all_to_all(const std::byte* send, std::span<const int64_t> send_bytes, std::byte* receive,
                  std::span<const int64_t> receive_bytes) override {
    require(static_cast<int>(send_bytes.size()) == size() &&
                static_cast<int>(receive_bytes.size()) == size(),
            "all_to_all: one size a rank");
    std::vector<int64_t>& offsets = at(rank_).offsets;
    offsets.assign(1, 0);
    for (const int64_t n : send_bytes) offsets.push_back(offsets.back() + n);
    show(send, static_cast<size_t>(offsets.back()));
    for (int r = 0; r < size(); ++r) {
      const std::vector<int64_t>& theirs = at(r).offsets;
      const auto me = static_cast<size_t>(rank_);
      const int64_t n = theirs[me + 1] - theirs[me];
      require(n == receive_bytes[static_cast<size_t>(r)], "all_to_all: sizes differ");
      copy(receive, at(r).data + theirs[me], static_cast<size_t>(n));
      receive += n;
    }
    group_->wait();
  }
  // The message is copied. Few are under way at a time: a stage does not run far ahead of the next.
  void send(const std::byte* data, size_t bytes, int to) override {
    Group::Mailbox& box = mailbox(rank_, to);
    std::unique_lock lock(box.mutex);
    box.changed.wait(lock, [&] { return box.messages.size() < kMessages || box.closed; });
    if (box.closed) throw RankStopped();
    box.messages.emplace_back(data, data + bytes);
    box.changed.notify_all();
  }
  void receive(std::byte* data, size_t bytes, int from) override {
    Group::Mailbox& box = mailbox(from, rank_);
    std::unique_lock lock(box.mutex);
    box.changed.wait(lock, [&] { return !box.messages.empty() || box.closed; });
    if (box.closed) throw RankStopped();
    require(box.messages.front().size() == bytes, "receive: sizes differ");
    copy(data, box.messages.front().data(), bytes);
    box.messages.pop_front();
    box.changed.notify_all();
  }
  void abandon() override { group_->abandon(); }

 private:
  static void require(bool condition, const char* what) {
    if (!condition) throw_internal(what, "engine/distributed");
  }
  static void copy(std::byte* to, const std::byte* from, size_t bytes) {
    if (bytes > 0 && to != from) std::memcpy(to, from, bytes);
  }
  Group::Shown& at(int rank) { return group_->shown[static_cast<size_t>(rank)]; }
  Group::Mailbox& mailbox(int from, int to) {
    return group_->mailboxes[static_cast<size_t>(from * size() + to)];
  }
  // Makes `data` visible to all; everybody has shown theirs on return. The operation's last barrier
  // keeps it valid until all have read it.
  void show(const std::byte* data, size_t bytes) {
    at(rank_).data = data;
    at(rank_).bytes = bytes;
    group_->wait();
  }

  const std::shared_ptr<Group> group_;
  const int rank_;
  const int exceptions_ = std::uncaught_exceptions();
};

}  // namespace

std::vector<std::unique_ptr<Collective>> make_thread_group(int ranks) {
  const auto group = std::make_shared<Group>(ranks);
  std::vector<std::unique_ptr<Collective>> ends;
  for (int rank = 0; rank < ranks; ++rank) {
    ends.push_back(std::make_unique<ThreadCollective>(group, rank));
  }
  return ends;
}

}  // namespace assay::engine
