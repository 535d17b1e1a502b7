// The contract of a collective, on ranks that are threads.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "engine/distributed/thread_collective.h"

namespace assay::engine {
namespace {

void on_all_ranks(int ranks, const std::function<void(Collective&)>& body) {
  auto group = make_thread_group(ranks);
  std::vector<std::thread> threads;
  for (auto& end : group) {
    threads.emplace_back([&body, &end] { body(*end); });
  }
  for (std::thread& thread : threads) thread.join();
}

std::byte* bytes(std::vector<int32_t>& v) { return reinterpret_cast<std::byte*>(v.data()); }

TEST(Collective, AllGatherAndBroadcast) {
  for (const int ranks : {1, 2, 5}) {
    on_all_ranks(ranks, [&](Collective& c) {
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
    on_all_ranks(ranks, [&](Collective& c) {
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

TEST(Collective, MessagesKeepTheirOrder) {
  on_all_ranks(3, [](Collective& c) {
    const int next = (c.rank() + 1) % 3, before = (c.rank() + 2) % 3;
    for (int32_t i = 0; i < 50; ++i) c.send(reinterpret_cast<const std::byte*>(&i), 4, next);
    for (int32_t i = 0; i < 50; ++i) {
      int32_t got = -1;
      c.receive(reinterpret_cast<std::byte*>(&got), 4, before);
      EXPECT_EQ(got, i);
    }
  });
}

// A rank that gives up ends the others' waiting.
TEST(Collective, NobodyWaitsForARankThatLeft) {
  on_all_ranks(3, [](Collective& c) {
    if (c.rank() == 1) return c.abandon();
    EXPECT_THROW(c.barrier(), Error);
    std::byte b{};
    EXPECT_THROW(c.receive(&b, 1, 1), Error);
  });
}

}  // namespace
}  // namespace assay::engine
