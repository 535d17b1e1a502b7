#include "results/experts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/json.h"

namespace assay::results {
namespace {

constexpr size_t kStripCells = 32;

// One character an expert, or a range of them.
std::string heat_strip(const std::vector<double>& relative) {
  constexpr std::array<const char*, 9> kShades = {"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t cells = std::min(kStripCells, relative.size());
  std::string strip;
  for (size_t c = 0; c < cells; ++c) {
    const auto first = relative.begin() + static_cast<ptrdiff_t>(c * relative.size() / cells);
    const auto last = relative.begin() + static_cast<ptrdiff_t>((c + 1) * relative.size() / cells);
    const double mean = std::accumulate(first, last, 0.0) / static_cast<double>(last - first);
    // Half a step rounds up, but only what was never chosen is a dot.
    const auto shade = static_cast<size_t>(std::min(8.0, std::floor(mean * 4 + 0.5)));
    strip += kShades[mean > 0 ? std::max<size_t>(shade, 1) : 0];
  }
  return strip;
}

}  // namespace

LoadBalance load_balance(const ExpertLoadRecord& load) {
  if (load.tokens.empty()) throw_internal("expert load of no experts");
  LoadBalance out;
  out.layer = load.layer;
  out.tokens = std::accumulate(load.tokens.begin(), load.tokens.end(), uint64_t{0});
  const auto experts = static_cast<double>(load.tokens.size());
  double squares = 0;
  for (size_t e = 0; e < load.tokens.size(); ++e) {
    const auto n = static_cast<double>(load.tokens[e]);
    const double relative = out.tokens > 0 ? n * experts / static_cast<double>(out.tokens) : 0;
    out.relative.push_back(relative);
    out.mean_weight.push_back(load.tokens[e] > 0 ? load.weight[e] / n : 0);
    out.unused += load.tokens[e] == 0;
    squares += (relative - 1) * (relative - 1);
  }
  const auto [low, high] = std::minmax_element(out.relative.begin(), out.relative.end());
  out.lowest = *low;
  out.highest = *high;
  out.busiest = static_cast<int>(std::max_element(out.relative.begin(), out.relative.end()) -
                                 out.relative.begin());
  out.deviation = out.tokens > 0 ? std::sqrt(squares / experts) : 0;
  return out;
}

Table experts_table(const Store& store, const RunSummary& run) {
  Table table;
  table.columns = {{"layer"},  {"highest"}, {"expert"},
                   {"lowest"}, {"sd"},      {"unused"}, {"relative load", Align::left}};
  size_t experts = 0;
  for (const EvaluationSummary& evaluation : list_evaluations(store, run.id)) {
    const auto layers = expert_load(store, evaluation.id);
    if (layers.empty()) continue;
    table.rows.push_back({evaluation_name(evaluation), {}});
    for (const ExpertLoadRecord& layer : layers) {
      const LoadBalance balance = load_balance(layer);
      experts = std::max(experts, layer.tokens.size());
      table.rows.push_back({"",
                            {{std::to_string(balance.layer)},
                             {fixed_text(balance.highest, 2)},
                             {std::to_string(balance.busiest)},
                             {fixed_text(balance.lowest, 2)},
                             {fixed_text(balance.deviation, 2)},
                             {balance.unused > 0 ? std::to_string(balance.unused) : ""},
                             {heat_strip(balance.relative)}}});
    }
  }
  if (table.rows.empty()) {
    table.notes.push_back("No expert statistics: a model without routed experts, or nothing "
                          "computed yet.");
    return table;
  }
  std::string note = "Relative load: an expert's share of the routed tokens times the number of "
                     "experts; 1 is balance. The strip runs from expert 0 to " +
                     std::to_string(experts - 1) + ", a full block is 2 or more, a dot none";
  if (experts > kStripCells) {
    note += "; each of its " + std::to_string(kStripCells) + " cells is the mean of a range";
  }
  table.notes.push_back(note + ".");
  return table;
}

std::string experts_json(const Store& store, const RunSummary& run) {
  json::Writer out;
  out.begin_object().member("run", static_cast<int64_t>(run.id)).member("label", run.identity.label);
  out.key("tasks").begin_array();
  for (const EvaluationSummary& evaluation : list_evaluations(store, run.id)) {
    const auto layers = expert_load(store, evaluation.id);
    if (layers.empty()) continue;
    out.begin_object()
        .member("task", evaluation.identity.task)
        .member("variant", evaluation.identity.variant)
        .member("shots", evaluation.identity.shots)
        .member("identity", evaluation.digest)
        .key("layers")
        .begin_array();
    for (const ExpertLoadRecord& layer : layers) {
      const LoadBalance balance = load_balance(layer);
      out.begin_object().member("layer", layer.layer).member("tokens", balance.tokens);
      out.key("counts").begin_array();
      for (const uint64_t n : layer.tokens) out.value(n);
      out.end_array().key("relative_load").begin_array();
      for (const double x : balance.relative) out.value(x);
      out.end_array().key("mean_weight").begin_array();
      for (const double x : balance.mean_weight) out.value(x);
      out.end_array().end_object();
    }
    out.end_array().end_object();
  }
  return out.end_array().end_object().take();
}

}  // namespace assay::results
