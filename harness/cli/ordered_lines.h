// Prints lines that become ready in any order in the order of their numbers.
#pragma once

#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace assay::harness {

// A line goes to standard output as soon as all before it are there. Used from one thread.
class OrderedLines {
 public:
  explicit OrderedLines(size_t count) : ready_(count) {}

  void put(size_t number, std::string line) {
    ready_[number] = std::move(line);
    for (; next_ < ready_.size() && ready_[next_]; ++next_) {
      std::cout << *ready_[next_] << '\n';
      ready_[next_].reset();
    }
    std::cout.flush();
  }

 private:
  std::vector<std::optional<std::string>> ready_;
  size_t next_ = 0;
};

}  // namespace assay::harness
