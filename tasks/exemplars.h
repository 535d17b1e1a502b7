// Which exemplars a document gets: published lists, first rows, hash order, lm-eval's random draws.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/dataset.h"
#include "tasks/task_file.h"

namespace assay::tasks {

// Positions 0 .. count-1 in order of SHA-256("{task}/{seed}/{position}") (task-specs 0.3);
// `positions` are the source indices of the candidates.
std::vector<size_t> hash_order(std::string_view task, uint64_t seed,
                               const std::vector<int64_t>& positions);

// CPython's random.Random(seed).sample(range(n), m), as lm-eval draws shots (task-specs 0.12).
class PythonSampler {
 public:
  explicit PythonSampler(uint32_t seed);
  ~PythonSampler();
  std::vector<size_t> sample(size_t n, size_t m);

 private:
  size_t below(size_t bound);
  struct Generator;
  std::unique_ptr<Generator> generator_;
};

// A candidate: a row of the data, an entry of the task file's literal list, or a text.
struct Exemplar {
  const datasets::Document* document = nullptr;
  const Fields* literal = nullptr;
  std::string id;
  std::string text;  // a complete shot, instead of document and literal
};

class ExemplarPool {
 public:
  // `scored`: all documents of the scored split (of the selected group) in file order, before any
  // limit. Must outlive the pool. `k` is the number of exemplars asked for.
  ExemplarPool(const ShotsRule& rule, int k, const std::string& task, uint64_t seed,
               const datasets::DatasetSpec& spec, const std::filesystem::path& root,
               const std::optional<std::string>& group, const std::string& scored_split,
               const std::vector<datasets::Document>& scored);

  // Candidates for scored[index] in order of preference, at least k where there are as many.
  // The caller takes the first k that are not identical to the document.
  std::vector<Exemplar> candidates(size_t index) const;
  // Whether the document serves as an exemplar and is therefore not scored.
  bool excluded(size_t index) const;

  int k() const { return k_; }
  const ShotsRule& rule() const { return *rule_; }
  // Over the rule and the content of what may be chosen.
  const std::string& digest() const { return digest_; }
  const std::vector<datasets::SourceFile>& sources() const { return sources_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  using Candidates = std::vector<const datasets::Document*>;
  std::string key(const datasets::Document& document) const;
  void order(Candidates& candidates, const std::string& task, uint64_t seed) const;
  void warn_of_few(const std::string& task);
  void draw(const std::vector<datasets::Document>& scored);

  const ShotsRule* rule_;
  int k_;
  const std::vector<datasets::Document>& scored_;
  datasets::Split own_split_;                 // unless the pool is the scored split
  std::map<std::string, Candidates> by_key_;  // group and `within`, or cluster
  std::vector<std::vector<uint32_t>> draws_;  // random: per scored document
  std::vector<datasets::SourceFile> sources_;
  std::vector<std::string> warnings_;
  std::string digest_;
};

}  // namespace assay::tasks
