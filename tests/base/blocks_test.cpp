#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#include "base/blocks.h"
#include "base/random.h"

namespace assay {
namespace {

size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  size_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * 4096;
}

struct Block {
  unsigned char* data;
  size_t bytes;
  unsigned char mark;
};

Block filled(size_t bytes, unsigned char mark) {
  auto* data = static_cast<unsigned char*>(take_block(bytes));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
  std::memset(data, mark, bytes);
  return {data, bytes, mark};
}
void check_and_give(const Block& b) {
  for (size_t i = 0; i < b.bytes; i += 509) ASSERT_EQ(b.data[i], b.mark);
  ASSERT_EQ(b.data[b.bytes - 1], b.mark);
  give_block(b.data, b.bytes);
}

// Blocks of all sizes, taken and given in random order by several threads, never overlap.
TEST(Blocks, DoNotOverlap) {
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([t] {
      Random random(t);
      std::vector<Block> held;
      for (int step = 0; step < 400; ++step) {
        if (held.size() < 20 && random.below(3) > 0) {
          const size_t bytes = size_t{1} << random.below(23);
          held.push_back(filled(bytes + random.below(bytes), static_cast<unsigned char>(step)));
        } else if (!held.empty()) {
          std::swap(held[random.below(held.size())], held.back());
          check_and_give(held.back());
          held.pop_back();
        }
      }
      for (const Block& block : held) check_and_give(block);
    });
  }
  for (auto& thread : threads) thread.join();
}

// Taken by one thread and given by another, over and over: memory does not grow; what is kept for the
// next blocks goes back when something larger is taken.
TEST(Blocks, GoBackToTheSystem) {
  const auto give_spare_back = [] { give_block(take_block(100'000'000), 100'000'000); };
  give_spare_back();
  const size_t before = resident_bytes();
  for (int round = 0; round < 10; ++round) {
    std::vector<Block> blocks;
    std::thread([&] {
      for (int i = 0; i < 100; ++i) blocks.push_back(filled(700'000, 7));
    }).join();
    EXPECT_GT(resident_bytes(), before + 50'000'000);
    EXPECT_LT(resident_bytes(), before + 150'000'000);
    for (const Block& block : blocks) check_and_give(block);
  }
  give_spare_back();
  EXPECT_LT(resident_bytes(), before + 20'000'000);
}

}  // namespace
}  // namespace assay
