// A row-major matrix of doubles: one row per token.
#pragma once

#include <cstdint>
#include <vector>

namespace assay::engine::reference {

struct Matrix {
  int64_t rows = 0, cols = 0;
  std::vector<double> data;

  Matrix() = default;
  Matrix(int64_t r, int64_t c) : rows(r), cols(c), data(static_cast<size_t>(r * c)) {}
  double* row(int64_t i) { return data.data() + i * cols; }
  const double* row(int64_t i) const { return data.data() + i * cols; }
};

}  // namespace assay::engine::reference
