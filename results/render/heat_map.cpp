#include "results/heat_map.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/utf8.h"
#include "results/scores.h"

namespace assay::results {

namespace {

constexpr std::string_view kPrefix = "cell:";

// "512" before "2048"; words after numbers, by their bytes.
bool numeric_less(const std::string& a, const std::string& b) {
  const auto is_number = [](const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  };
  if (is_number(a) != is_number(b)) return is_number(a);
  if (is_number(a) && a.size() != b.size()) return a.size() < b.size();
  return a < b;
}

std::string padded_left(const std::string& text, size_t width) {
  const size_t length = utf8::length(text);
  return (length < width ? std::string(width - length, ' ') : "") + text;
}

// The nearest colour of the terminal's 6x6x6 cube: red over yellow to green.
std::string background(double value) {
  const double clamped = std::clamp(value, 0.0, 1.0);
  const int red = static_cast<int>(std::lround(std::min(1.0, 2 * (1 - clamped)) * 5));
  const int green = static_cast<int>(std::lround(std::min(1.0, 2 * clamped) * 5));
  return "\x1b[30;48;5;" + std::to_string(16 + 36 * red + 6 * green) + "m";
}

}  // namespace

std::optional<HeatMap> heat_map(const Store& store, const EvaluationSummary& evaluation) {
  std::map<std::pair<std::string, std::string>, double> values;
  HeatMap map;
  for (const AggregateRecord& aggregate : store.aggregates(evaluation.id)) {
    if (aggregate.metric != evaluation.description.primary_metric) continue;
    if (!aggregate.name.starts_with(kPrefix)) continue;
    const std::string cell = aggregate.name.substr(kPrefix.size());
    const size_t bar = cell.find('|');
    if (bar == std::string::npos) continue;
    const std::string column = cell.substr(0, bar), row = cell.substr(bar + 1);
    values[{row, column}] = aggregate.value;
    map.columns.push_back(column);
    map.rows.push_back(row);
  }
  if (values.empty()) return std::nullopt;
  for (auto* names : {&map.columns, &map.rows}) {
    std::sort(names->begin(), names->end(), numeric_less);
    names->erase(std::unique(names->begin(), names->end()), names->end());
  }
  for (const std::string& row : map.rows) {
    auto& cells = map.cells.emplace_back();
    for (const std::string& column : map.columns) {
      const auto found = values.find({row, column});
      cells.push_back(found == values.end() ? std::nullopt : std::optional(found->second));
    }
  }
  map.evaluation = evaluation;
  return map;
}

std::vector<HeatMap> heat_maps(const Store& store, const RunSummary& run) {
  std::vector<HeatMap> maps;
  for (const EvaluationSummary& evaluation : list_evaluations(store, run.id)) {
    if (std::optional<HeatMap> map = heat_map(store, evaluation)) maps.push_back(std::move(*map));
  }
  return maps;
}

std::string heat_map_text(const HeatMap& map, size_t width, bool color) {
  size_t head = 5, cell = 5;
  for (const std::string& row : map.rows) head = std::max(head, utf8::length(row));
  for (const std::string& column : map.columns) cell = std::max(cell, utf8::length(column));
  const size_t per_block = std::max<size_t>(1, (std::max(width, head + 1) - head) / (cell + 1));
  std::string out = utf8::printable(map.evaluation.description.title) +
                    ": length in tokens across, depth in percent down\n";
  for (size_t begin = 0; begin < map.columns.size(); begin += per_block) {
    const size_t end = std::min(map.columns.size(), begin + per_block);
    out += std::string(head, ' ');
    for (size_t c = begin; c < end; ++c) out += " " + padded_left(map.columns[c], cell);
    out += '\n';
    for (size_t r = 0; r < map.rows.size(); ++r) {
      out += padded_left(map.rows[r], head);
      for (size_t c = begin; c < end; ++c) {
        const auto& value = map.cells[r][c];
        const std::string text =
            padded_left(value ? score_text(*value, map.evaluation.description.unit) : "-", cell);
        out += value && color ? " " + background(*value) + text + "\x1b[0m" : " " + text;
      }
      out += '\n';
    }
  }
  return out;
}

}  // namespace assay::results
