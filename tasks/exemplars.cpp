#include "tasks/exemplars.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>

#include "base/digest.h"
#include "base/error.h"

namespace assay::tasks {

std::vector<size_t> hash_order(std::string_view task, uint64_t seed,
                               const std::vector<int64_t>& positions) {
  std::vector<std::pair<std::string, size_t>> keyed;
  std::string prefix = std::string(task) + "/" + std::to_string(seed) + "/";
  for (size_t i = 0; i < positions.size(); ++i) {
    keyed.emplace_back(sha256_hex(prefix + std::to_string(positions[i])), i);
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<size_t> order;
  for (const auto& [digest, index] : keyed) order.push_back(index);
  return order;
}

// std::mt19937 started as CPython starts it: random.seed(int) is init_by_array of one word.
struct PythonSampler::Generator {
  struct InitByArray {
    using result_type = uint32_t;
    uint32_t word;
    // Called by std::mt19937 for its 624 words of state (Matsumoto and Nishimura's init_by_array).
    template <class Iterator>
    void generate(Iterator begin, Iterator end) {
      constexpr size_t n = 624;
      std::vector<uint32_t> mt(n);
      mt[0] = 19650218;
      for (size_t i = 1; i < n; ++i) {
        mt[i] = 1812433253U * (mt[i - 1] ^ (mt[i - 1] >> 30)) + static_cast<uint32_t>(i);
      }
      size_t i = 1;
      auto wrap = [&] {
        if (++i >= n) {
          mt[0] = mt[n - 1];
          i = 1;
        }
      };
      for (size_t k = n; k > 0; --k) {
        mt[i] = (mt[i] ^ ((mt[i - 1] ^ (mt[i - 1] >> 30)) * 1664525U)) + word;
        wrap();
      }
      for (size_t k = n - 1; k > 0; --k) {
        mt[i] =
            (mt[i] ^ ((mt[i - 1] ^ (mt[i - 1] >> 30)) * 1566083941U)) - static_cast<uint32_t>(i);
        wrap();
      }
      mt[0] = 0x80000000U;
      std::copy_n(mt.begin(), std::min<size_t>(n, static_cast<size_t>(end - begin)), begin);
    }
    static constexpr size_t size() { return 1; }
    template <class Iterator>
    void param(Iterator out) const {
      *out = word;
    }
  };

  explicit Generator(uint32_t seed) {
    InitByArray sequence{seed};
    engine.seed(sequence);
  }
  std::mt19937 engine;
};

PythonSampler::PythonSampler(uint32_t seed) : generator_(std::make_unique<Generator>(seed)) {}
PythonSampler::~PythonSampler() = default;

size_t PythonSampler::below(size_t bound) {
  int bits = std::bit_width(bound);
  while (true) {
    size_t value = generator_->engine() >> (32 - bits);
    if (value < bound) return value;
  }
}

std::vector<size_t> PythonSampler::sample(size_t n, size_t m) {
  if (m > n) throw_internal("a sample of " + std::to_string(m) + " from " + std::to_string(n));
  std::vector<size_t> chosen;
  size_t set_size = 21;  // CPython: the size of a small set
  if (m > 5) {
    size_t power = 1;  // 4 ^ ceil(log4(3m))
    while (power < 3 * m) power *= 4;
    set_size += power;
  }
  if (n <= set_size) {
    std::vector<size_t> pool(n);
    std::iota(pool.begin(), pool.end(), size_t{0});
    for (size_t i = 0; i < m; ++i) {
      size_t j = below(n - i);
      chosen.push_back(pool[j]);
      pool[j] = pool[n - i - 1];
    }
    return chosen;
  }
  std::vector<bool> taken(n);
  while (chosen.size() < m) {
    size_t j = below(n);
    if (taken[j]) continue;
    taken[j] = true;
    chosen.push_back(j);
  }
  return chosen;
}

ExemplarPool::ExemplarPool(const ShotsRule& asked, int k, const std::string& task, uint64_t seed,
                           const datasets::DatasetSpec& spec, const std::filesystem::path& root,
                           const std::optional<std::string>& group, const std::string& scored_split,
                           const std::vector<datasets::Document>& scored)
    : rule_(&asked), k_(k), scored_(scored) {
  using Pick = ShotsRule::Pick;
  // A data root that names itself another collection (the bundled sample) does not hold the rows
  // that a published list points to.
  if (rule_->fallback && std::filesystem::exists(root / "assay-data.json")) {
    rule_ = rule_->fallback.get();
  }
  if (k_ > 0 && rule_->missing && !spec.has_split(root, rule_->from) &&
      spec.has_split(root, rule_->missing->from)) {
    warnings_.push_back(task + ": the files of split " + rule_->from + " are not here, exemplars come from " +
                        rule_->missing->from + "; not comparable with scores that use " + rule_->from);
    rule_ = rule_->missing.get();
  }
  Sha256 digest;
  digest.update_field(rule_->digest).update_field(std::to_string(k_));
  if (k_ > 0 && rule_->pick == Pick::none) {
    throw_usage("task " + task + " has no exemplars to give", "--shots 0");
  }
  bool given = rule_->pick == Pick::literal || rule_->pick == Pick::field;
  if (k_ > 0 && !given) {
    bool same = rule_->pick == Pick::siblings || rule_->from == scored_split;
    if (!same) {
      std::optional<std::string> only = rule_->across_groups ? std::nullopt : group;
      own_split_ = datasets::load_split(spec, root, rule_->from, only);
      sources_ = own_split_.files;
      warnings_.insert(warnings_.end(), own_split_.warnings.begin(), own_split_.warnings.end());
    }
    const std::vector<datasets::Document>& pool = same ? scored : own_split_.documents;
    for (const datasets::Document& document : pool) by_key_[key(document)].push_back(&document);
    for (auto& [key, candidates] : by_key_) {
      order(candidates, task, seed);
      bool all = rule_->pick == Pick::siblings || rule_->pick == Pick::random;
      size_t count = all ? candidates.size() : std::min(candidates.size(), static_cast<size_t>(k_));
      digest.update_field(key);
      for (size_t i = 0; i < count; ++i) digest.update_field(candidates[i]->content_hash);
    }
    if (rule_->pick == Pick::random) draw(scored);
    if (rule_->pick != Pick::siblings) warn_of_few(task);
  }
  if (rule_->pick == Pick::hash) digest.update_field(std::to_string(seed));
  digest_ = digest.finish_hex();
}

// Subjects or languages of the scored documents for which `from` has too few rows.
void ExemplarPool::warn_of_few(const std::string& task) {
  std::map<std::string, size_t> few;  // what people call the key -> rows
  for (const datasets::Document& document : scored_) {
    const auto pool = by_key_.find(key(document));
    const size_t rows = pool == by_key_.end() ? 0 : pool->second.size();
    if (rows >= static_cast<size_t>(k_)) continue;
    few[document.group.empty() ? "some documents" : document.group] = rows;
  }
  if (few.empty()) return;
  std::string names;
  size_t named = 0;
  constexpr size_t kNamed = 5;
  for (const auto& [name, rows] : few) {
    if (++named > kNamed) break;
    names += (names.empty() ? "" : ", ") + name + " (" + std::to_string(rows) + ")";
  }
  if (few.size() > kNamed) names += " and " + std::to_string(few.size() - kNamed) + " more";
  warnings_.push_back(task + ": split " + rule_->from + " has fewer than " + std::to_string(k_) +
                      " exemplars for " + names);
}

std::string ExemplarPool::key(const datasets::Document& document) const {
  if (rule_->pick == ShotsRule::Pick::siblings) return document.cluster;
  std::string key = rule_->across_groups ? "" : document.group;
  if (!rule_->within.empty()) key += '\n' + Fields(document).text(rule_->within);
  return key;
}

void ExemplarPool::order(Candidates& candidates, const std::string& task, uint64_t seed) const {
  if (rule_->pick == ShotsRule::Pick::rows) {
    Candidates chosen;
    for (int64_t row : rule_->rows) {
      auto it = std::find_if(candidates.begin(), candidates.end(),
                             [&](auto* document) { return document->source_index == row; });
      if (it == candidates.end()) {
        throw_bad_input("exemplar row " + std::to_string(row) + " is not in split " + rule_->from,
                        task, "use the complete official file");
      }
      chosen.push_back(*it);
    }
    candidates = std::move(chosen);
  } else if (rule_->pick == ShotsRule::Pick::hash) {
    std::vector<int64_t> positions;
    for (auto* document : candidates) positions.push_back(document->source_index);
    Candidates ordered;
    for (size_t i : hash_order(task, seed, positions)) ordered.push_back(candidates[i]);
    // Rows that the rule names come first, in its order.
    for (auto row = rule_->rows.rbegin(); row != rule_->rows.rend(); ++row) {
      auto it = std::find_if(ordered.begin(), ordered.end(),
                             [&](auto* document) { return document->source_index == *row; });
      if (it != ordered.end()) std::rotate(ordered.begin(), it, it + 1);
    }
    candidates = std::move(ordered);
  }
}

// One generator for each group, used for its documents in order, so that document i depends on all
// before it.
void ExemplarPool::draw(const std::vector<datasets::Document>& scored) {
  std::map<std::string, PythonSampler> samplers;
  draws_.resize(scored.size());
  for (size_t i = 0; i < scored.size(); ++i) {
    std::string group = key(scored[i]);
    auto pool = by_key_.find(group);
    size_t n = pool == by_key_.end() ? 0 : pool->second.size();
    size_t m = static_cast<size_t>(k_ + rule_->extra);
    if (m > n) {
      throw_bad_input("split " + rule_->from + " has " + std::to_string(n) + " rows, " +
                          std::to_string(m) + " are drawn",
                      scored[i].id, "--shots with a smaller number");
    }
    PythonSampler& sampler = samplers.try_emplace(group, rule_->seed).first->second;
    for (size_t j : sampler.sample(n, m)) draws_[i].push_back(static_cast<uint32_t>(j));
  }
}

std::vector<Exemplar> ExemplarPool::candidates(size_t index) const {
  std::vector<Exemplar> out;
  if (k_ == 0) return out;
  using Pick = ShotsRule::Pick;
  if (rule_->pick == Pick::literal) {
    for (size_t i = 0; i < rule_->literal.size(); ++i) {
      out.push_back({nullptr, &rule_->literal[i], "literal:" + std::to_string(i), {}});
    }
    return out;
  }
  const datasets::Document& document = scored_[index];
  auto pool = by_key_.find(key(document));
  if (pool == by_key_.end()) return out;
  if (rule_->pick == Pick::random) {
    for (uint32_t j : draws_[index])
      out.push_back({pool->second[j], nullptr, pool->second[j]->id, {}});
    return out;
  }
  for (auto* candidate : pool->second) {
    if (rule_->pick == Pick::siblings) {
      if (candidate->id == document.id) {
        if (rule_->predecessors) break;
        continue;
      }
    } else if (out.size() > static_cast<size_t>(k_) + 8) {
      break;  // more than k only to replace candidates that equal the document
    }
    out.push_back({candidate, nullptr, candidate->id, {}});
  }
  return out;
}

bool ExemplarPool::excluded(size_t index) const {
  if (!rule_->exclude || k_ == 0) return false;
  auto pool = by_key_.find(key(scored_[index]));
  if (pool == by_key_.end()) return false;
  size_t count = std::min(pool->second.size(), static_cast<size_t>(k_));
  for (size_t i = 0; i < count; ++i) {
    const datasets::Document& exemplar = *pool->second[i];
    if (exemplar.id == scored_[index].id) return true;
  }
  return false;
}

}  // namespace assay::tasks
