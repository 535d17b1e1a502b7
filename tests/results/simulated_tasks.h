// The 32 tasks as random experiments, for the calibration of intervals, tests and the gate
// (docs/statistics.md). Sizes and structure are those of the tasks, base rates those of the published
// models; where a task has too many documents to draw thousands of times, a stated part is drawn.
//
// Answers follow a latent-normal model: a document is answered rightly if
//   a + s u(cluster) + t w(document) + noise > 0,   u, w, noise independent standard normals,
// with a chosen so that the probability is exactly the base rate. Two runs of a pair share u and w
// (hard documents are hard for both) and have a normal of their own for each cluster besides.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "results/published.h"
#include "results/statistics/distributions.h"
#include "results/statistics/paired.h"

namespace assay::results::simulation {

using statistics::Mean;
using statistics::Observation;
using statistics::Pair;

enum class Values { binary, fraction, bits };  // 0/1; F1-like in [0,1]; bits per byte with byte weights
enum class Clusters {
  none,      // every document is independent
  passages,  // clusters of `per_cluster` documents
  crossed,   // the same problems in each of `groups` languages
};

struct TaskShape {
  const char* task;
  int documents;
  Values values = Values::binary;
  Clusters clusters = Clusters::none;
  int per_cluster = 1;  // mean; sizes vary from 1 to twice this
  int groups = 0;       // of a macro mean; 0: micro
};

inline const std::vector<TaskShape>& task_shapes() {
  static const std::vector<TaskShape> shapes = {
      {"pile_test", 10000, Values::bits},  // of 214,670
      {"bbh", 6511, Values::binary, Clusters::none, 1, 27},
      {"mmlu", 14042, Values::binary, Clusters::passages, 246},  // clusters: 57 subjects
      {"mmlu_redux", 5700, Values::binary, Clusters::passages, 100},
      {"mmlu_pro", 12032, Values::binary, Clusters::none},
      {"drop", 9536, Values::fraction, Clusters::passages, 16},
      {"arc_easy", 2376},
      {"arc_challenge", 1172},
      {"hellaswag", 10042},
      {"piqa", 1838},
      {"winogrande", 1267},
      {"race_middle", 1436, Values::binary, Clusters::passages, 4},
      {"race_high", 3498, Values::binary, Clusters::passages, 3},
      {"triviaqa", 11313},
      {"nq", 3610},
      {"agieval", 8061, Values::binary, Clusters::none, 1, 20},
      {"humaneval", 164},
      {"mbpp", 500},
      {"lcb_base", 155},
      {"cruxeval_i", 800},
      {"cruxeval_o", 800},
      {"gsm8k", 1319},
      {"math", 5000},
      {"mgsm", 2750, Values::binary, Clusters::crossed, 1, 11},
      {"cmath", 1098},
      {"clue_wsc", 976},
      {"ceval", 1346, Values::binary, Clusters::none, 1, 52},
      {"cmmlu", 11582, Values::binary, Clusters::none, 1, 67},
      {"cmrc2018", 3219, Values::binary, Clusters::passages, 4},
      {"c3", 3816, Values::binary, Clusters::passages, 2},
      {"ccpm", 2720},
      {"mmmlu", 14000, Values::binary, Clusters::crossed, 1, 14},  // 1,000 problems of each locale
  };
  return shapes;
}

// The published scores of a task as fractions (bits per byte as they are), one a model.
inline std::vector<double> published_rates(const std::string& task) {
  const published::Benchmark& row = published::benchmarks().at(published::row_of_task(task));
  std::vector<double> rates;
  for (const published::Column& model : published::base_models())
    if (const published::Score* score = model.find(row.name))
      rates.push_back(row.metric == "BPB" ? score->value : score->value / 100);
  return rates;
}

struct Strengths {
  double cluster = 0.6;   // s: a quarter of the latent variance, as passages of DROP and RACE show
  double own = 0.3;       // of each run for each cluster
  double document = 1.0;  // t: with 1, the answers of two runs correlate by about 0.4
};

// Draws the documents of one task again and again. Cluster sizes are fixed at construction.
class Sampler {
 public:
  Sampler(const TaskShape& shape, uint64_t seed, const Strengths& strengths = {})
      : shape_(shape), strengths_(strengths), random_(seed, 0) {
    layout();
  }

  Mean mean() const { return shape_.groups > 0 ? Mean::macro : Mean::micro; }

  // One data set under runs with the given scores. Groups of a macro mean lie evenly about them.
  std::vector<Pair> draw(double rate_a, double rate_b) {
    std::vector<Pair> pairs = layout_;
    std::vector<double> shared(clusters_), own_a(clusters_), own_b(clusters_);
    const bool clustered = shape_.clusters != Clusters::none;
    for (size_t c = 0; clustered && c < clusters_; ++c) {
      shared[c] = strengths_.cluster * random_.normal();
      own_a[c] = strengths_.own * random_.normal();
      own_b[c] = strengths_.own * random_.normal();
    }
    const double variance =
        1 + (clustered ? strengths_.cluster * strengths_.cluster + strengths_.own * strengths_.own
                       : 0.0) +
        strengths_.document * strengths_.document;
    const std::vector<double> level_a = levels(rate_a, variance), level_b = levels(rate_b, variance);
    for (Pair& pair : pairs) {
      const auto c = static_cast<size_t>(pair.cluster), g = static_cast<size_t>(pair.group);
      const double hard = strengths_.document * random_.normal();
      if (shape_.values == Values::bits) {
        // A document's own level, shared by both runs, and a little of each run's own.
        pair.a = rate_a * (1 + 0.25 * hard + 0.03 * random_.normal());
        pair.b = rate_b * (1 + 0.25 * hard + 0.03 * random_.normal());
        continue;
      }
      pair.a = answer(level_a[g] + shared[c] + own_a[c] + hard);
      pair.b = answer(level_b[g] + shared[c] + own_b[c] + hard);
    }
    return pairs;
  }

 private:
  double answer(double latent) {
    // P(latent + noise > 0), drawn: a uniform is cheaper than another normal.
    const bool right = random_.uniform() < statistics::normal_cdf(latent);
    if (shape_.values == Values::binary) return right ? 1 : 0;
    // F1: a fifth of the answers get half of the points, whichever way they went.
    return random_.uniform() < 0.2 ? 0.5 : (right ? 1 : 0);
  }

  // Latent levels of each group: rates spread evenly by +-0.15 (less near the ends) about the mean.
  std::vector<double> levels(double rate, double variance) const {
    // A fifth of half points: the rest has to make up for the score.
    if (shape_.values == Values::fraction) rate = (rate - 0.1) / 0.8;
    const int groups = std::max(1, shape_.groups);
    const double spread = groups > 1 ? std::min({0.15, rate / 2, (1 - rate) / 2}) : 0;
    std::vector<double> out;
    for (int g = 0; g < groups; ++g) {
      const double offset = groups > 1 ? 2.0 * g / (groups - 1) - 1 : 0;
      out.push_back(statistics::normal_quantile(rate + spread * offset) * std::sqrt(variance));
    }
    return out;
  }

  void layout() {
    Random sizes(7, 1);
    const int groups = std::max(1, shape_.groups);
    int32_t cluster = 0;
    int left = 0;
    for (int i = 0; i < shape_.documents; ++i) {
      Pair pair;
      pair.group = i % groups;
      if (shape_.clusters == Clusters::crossed) {
        pair.cluster = i / groups;
      } else if (shape_.clusters == Clusters::passages) {
        if (left == 0) {
          left = 1 + static_cast<int>(sizes.below(static_cast<uint64_t>(2 * shape_.per_cluster - 1)));
          if (i > 0) ++cluster;
        }
        --left;
        pair.cluster = cluster;
      } else {
        pair.cluster = i;
      }
      // Bytes of web documents are about log-normal.
      if (shape_.values == Values::bits) pair.weight = std::exp(7.5 + 1.2 * sizes.normal());
      layout_.push_back(pair);
    }
    clusters_ = static_cast<size_t>(layout_.back().cluster) + 1;
  }

  TaskShape shape_;
  Strengths strengths_;
  Random random_;
  std::vector<Pair> layout_;
  size_t clusters_ = 0;
};

inline std::vector<Observation> first_run(const std::vector<Pair>& pairs) {
  std::vector<Observation> out;
  out.reserve(pairs.size());
  for (const Pair& pair : pairs) out.push_back({pair.a, pair.weight, pair.group, pair.cluster});
  return out;
}

}  // namespace assay::results::simulation
