// Runs something on ranks that are threads.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <vector>

#include "engine/distributed/thread_collective.h"

namespace assay::engine::test {

// body(collective) on every rank; an exception fails the test and ends the others.
inline void on_ranks(int ranks, const std::function<void(Collective&)>& body) {
  auto group = make_thread_group(ranks);
  std::vector<std::thread> threads;
  for (auto& end : group) {
    threads.emplace_back([&body, &end] {
      try {
        body(*end);
      } catch (const std::exception& error) {
        end->abandon();
        ADD_FAILURE() << "rank " << end->rank() << ": " << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace assay::engine::test
