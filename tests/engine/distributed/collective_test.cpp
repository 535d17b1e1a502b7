// The contract of a collective, on ranks that are threads.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/error.h"
#include "tests/engine/distributed/on_ranks.h"

namespace assay::engine {
namespace {

using test::on_ranks;

std::byte* bytes(std::vector<int32_t>& v) { return reinterpret_cast<std::byte*>(v.data()); }

TEST(Collective, AllGatherAndBroadcast) {
  for (const int ranks : {1, 2, 5}) {
    on_ranks(ranks, [&](Collective& c) {
      for (int round = 0; round < 20; ++round) {
        std::vector<int32_t> mine = {c.rank(), round}, all(static_cast<size_t>(2 * ranks), -1);
        c.all_gather(bytes(mine), 8, bytes(all));
        for (int r = 0; r < ranks; ++r) {
          EXPECT_EQ(all[static_cast<size_t>(2 * r)], r);
          EXPECT_EQ(all[static_cast<size_t>(2 * r + 1)], round);
        }
        c.broadcast(bytes(mine), 8, round % ranks);
        EXPECT_EQ(mine[0], round % ranks);
        c.barrier();
      }
    });
  }
}

// Every pair of ranks with another number of items, none among them; each item names its way.
TEST(Collective, AllToAll) {
  const auto items = [](int from, int to) { return (from * 7 + to * 3) % 5; };
  for (const int ranks : {1, 2, 5}) {
    on_ranks(ranks, [&](Collective& c) {
      std::vector<int32_t> send, receive;
      std::vector<int64_t> to, from;
      size_t expected = 0;
      for (int r = 0; r < ranks; ++r) {
        for (int i = 0; i < items(c.rank(), r); ++i) send.push_back(c.rank() * 10000 + r * 100 + i);
        to.push_back(items(c.rank(), r) * 4);
        from.push_back(items(r, c.rank()) * 4);
        expected += static_cast<size_t>(items(r, c.rank()));
      }
      receive.resize(expected);
      c.all_to_all(bytes(send), to, bytes(receive), from);
      size_t at = 0;
      for (int r = 0; r < ranks; ++r) {
        for (int i = 0; i < items(r, c.rank()); ++i) {
          EXPECT_EQ(receive[at++], r * 10000 + c.rank() * 100 + i);
        }
      }
    });
  }
}

// In a ring; one rank receives first, so that nobody has to keep messages.
TEST(Collective, MessagesKeepTheirOrder) {
  on_ranks(3, [](Collective& c) {
    const int next = (c.rank() + 1) % 3, before = (c.rank() + 2) % 3;
    for (int32_t i = 0; i < 50; ++i) {
      int32_t got = -1;
      if (c.rank() == 0) c.send(reinterpret_cast<const std::byte*>(&i), 4, next);
      c.receive(reinterpret_cast<std::byte*>(&got), 4, before);
      EXPECT_EQ(got, i);
      if (c.rank() != 0) c.send(reinterpret_cast<const std::byte*>(&got), 4, next);
    }
  });
}

// A rank can't run far ahead of one that does not receive.
TEST(Collective, SendersWaitForReceivers) {
  std::atomic<int> sent{0};
  on_ranks(2, [&](Collective& c) {
    std::vector<int32_t> data = {7};
    if (c.rank() == 0) {
      for (; sent < 100; ++sent) c.send(bytes(data), 4, 1);
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_LT(sent, 10);
    for (int i = 0; i < 100; ++i) c.receive(bytes(data), 4, 0);
  });
  EXPECT_EQ(sent, 100);
}

// A rank that gives up ends the others' waiting.
TEST(Collective, NobodyWaitsForARankThatLeft) {
  on_ranks(3, [](Collective& c) {
    if (c.rank() == 1) return c.abandon();
    EXPECT_THROW(c.barrier(), RankStopped);
    std::byte b{};
    EXPECT_THROW(c.receive(&b, 1, 1), RankStopped);
    EXPECT_THROW(c.send(&b, 1, 1), RankStopped);
  });
}

}  // namespace
}  // namespace assay::engine
