// What every data set needs and whether it is there: the content of `assay data list` and `verify`.
//
// Reads the "origin" object of task files; opens files only to digest them. Pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace assay::datasets {

// A file of the publishers.
struct OriginStatus {
  std::string url, to;   // `to` is relative to the data root
  std::string sha256;    // expected; "" where no digest is published
  int64_t bytes = -1;    // expected; -1 = not stated
  bool present = false;  // a file lies there (nothing is said about its content)
};

struct SplitStatus {
  std::string name;
  int64_t expected_rows = -1;           // -1 = not stated
  bool present = false;                 // readable files are there
  std::vector<std::string> looked_for;  // the patterns, below the data root
};

struct DatasetStatus {
  std::string task, home, licence, note;
  std::vector<OriginStatus> files;
  std::vector<SplitStatus> splits;
  bool present() const;  // every split is there
};

// Without reading any data file.
DatasetStatus status(const DatasetSpec& spec, const std::filesystem::path& root);

struct Verified {
  std::string what;  // "file mmlu/data.tar" or "split test"
  enum class State { good, unknown, missing, bad } state;
  std::string detail;  // digest, row counts, or the error
};

// Digests every present file of known digest, and reads every present split: rows against the
// official counts, every row's shape. A split or file that is absent is `missing`, one without a
// published digest `unknown`; `bad` says what is wrong. Never throws for bad data.
std::vector<Verified> verify(const DatasetSpec& spec, const std::filesystem::path& root);

}  // namespace assay::datasets
