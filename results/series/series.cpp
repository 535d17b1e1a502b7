#include "results/series.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "results/scores.h"

namespace assay::results {
namespace {

// Cuts the last part off a name if it tells training progress: "-step-000600", "_iter_1000",
// "-tokens4B", "-100B-tokens", "-12000". False where there is none.
bool cut_progress(std::string& name) {
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  constexpr std::string_view kUnits = "kKmMbBtT", kSeparators = "-_ .=";
  size_t end = name.size();
  for (const std::string_view word : {"-tokens", "_tokens", "tokens"}) {
    const std::string_view view(name);
    if (view.ends_with(word) && end > word.size() &&
        kUnits.find(name[end - word.size() - 1]) != std::string_view::npos) {
      end -= word.size();
      break;
    }
  }
  const bool tokens = end < name.size();
  const bool unit = end > 1 && kUnits.find(name[end - 1]) != std::string_view::npos &&
                    is_digit(name[end - 2]);
  if (unit) --end;
  size_t digits = end;
  while (digits > 0 && is_digit(name[digits - 1])) --digits;
  if (digits == end) return false;
  const auto strip = [&] {
    if (digits > 0 && kSeparators.find(name[digits - 1]) != std::string_view::npos) --digits;
  };
  const size_t number = digits;
  strip();
  bool word_found = tokens;
  for (const std::string_view word : {"global_step", "step", "iteration", "iter", "ckpt",
                                      "checkpoint", "tokens", "token"}) {
    if (std::string_view(name).substr(0, digits).ends_with(word)) {
      digits -= word.size();
      word_found = true;
      strip();
      break;
    }
  }
  // "llama-8B" and "qwen2.5" are no progress: a bare number needs a separator and no unit.
  if (!word_found && (unit || (digits == number && number > 0) ||
                      (number > 0 && name[number - 1] == '.')))
    return false;
  name.erase(digits);
  return true;
}

struct Line {
  double intercept = 0, slope = 0;
  double at(double x) const { return intercept + slope * x; }
};

Line least_squares(std::span<const double> x, std::span<const double> y) {
  const auto n = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mean_x += x[i] / n;
    mean_y += y[i] / n;
  }
  double xx = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  const double slope = xx > 0 ? xy / xx : 0;
  return {mean_y - slope * mean_x, slope};
}

double place(const SeriesPoint& point) {
  return static_cast<double>(point.tokens ? *point.tokens : *point.step);
}

void finish(Series& series, const SeriesOptions& options) {
  std::stable_sort(series.points.begin(), series.points.end(),
                   [](const auto& a, const auto& b) { return place(a) < place(b); });
  std::vector<double> x, y;
  for (const SeriesPoint& point : series.points) {
    x.push_back(place(point));
    y.push_back(point.value);
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t begin = i > options.window ? i - options.window : 0;
    const size_t end = std::min(x.size(), i + options.window + 1);
    const std::span<const double> wx(x.data() + begin, end - begin), wy(y.data() + begin, end - begin);
    // A line through a steep climb overshoots; no score lies outside those it was drawn through.
    const auto [low, high] = std::minmax_element(wy.begin(), wy.end());
    series.points[i].smoothed = std::clamp(least_squares(wx, wy).at(x[i]), *low, *high);
  }
  const size_t last = std::min(options.last, x.size());
  const std::span<const double> tail_x(x.data() + x.size() - last, last),
      tail_y(y.data() + y.size() - last, last);
  for (const double value : tail_y) series.last_mean += value / static_cast<double>(last);
  series.noise = detrended_noise(tail_x, tail_y);
  series.noise_points = last;
  if (series.noise && *series.noise > 0)
    series.signal_to_noise =
        std::fabs(series.points.back().smoothed - series.points.front().smoothed) / *series.noise;
}

}  // namespace

std::string series_name(const RunSummary& run) {
  std::string name = run.model.name;
  while (cut_progress(name)) {
  }
  // "step-600" beside "step-1200": the folder's name is not in the store.
  return name.empty() ? "checkpoints" : name;
}

std::optional<double> detrended_noise(std::span<const double> x, std::span<const double> y) {
  if (x.size() < 4) return std::nullopt;
  const Line line = least_squares(x, y);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (y[i] - line.at(x[i])) * (y[i] - line.at(x[i]));
  return std::sqrt(sum / (static_cast<double>(x.size()) - 2));
}

std::vector<Series> build_series(const Store& store, std::span<const RunSummary> runs,
                                 const SeriesOptions& options) {
  // (task identity, series name) -> series; in order of first appearance
  std::vector<Series> all;
  std::map<std::pair<std::string, std::string>, size_t> index;
  for (const RunSummary& run : runs) {
    if (!run.model.training_step && !run.model.training_tokens)
      throw_usage("the training step of " + run.identity.label + " is not known",
                  "its directory or config must say it, or leave the run out");
    // Mean over the percent tasks of a category, of this run.
    std::map<std::string, std::vector<const EvaluationSummary*>> categories;
    const std::vector<EvaluationSummary> evaluations = list_evaluations(store, run.id);
    const auto add = [&](const std::string& identity, const std::string& task,
                         const std::string& name, const EvaluationDescription& description,
                         double value, std::optional<double> error) {
      const auto key = std::pair(identity + run.identity.numerics, series_name(run));
      const auto [entry, added] = index.try_emplace(key, all.size());
      if (added) {
        Series series;
        series.name = series_name(run);
        series.identity = key.first;
        series.task = task;
        series.task_name = name;
        series.unit = description.unit;
        series.category = description.category;
        series.higher_is_better = description.higher_is_better;
        all.push_back(std::move(series));
      }
      all[entry->second].points.push_back({run.identity.label, run.model.training_step,
                                           run.model.training_tokens, value, error, value});
    };
    for (const EvaluationSummary& e : evaluations) {
      if (!e.headline || e.headline->errors > 0) continue;
      add(e.digest, e.identity.task, evaluation_name(e), e.description, e.headline->value,
          e.headline->standard_error);
      if (e.description.unit == "percent") categories[e.description.category].push_back(&e);
    }
    for (const auto& [category, members] : categories) {
      if (members.size() < 2) continue;
      std::string identity = "category:" + category;
      double mean = 0, variance = 0;
      const auto k = static_cast<double>(members.size());
      for (const EvaluationSummary* e : members) {
        identity += "/" + e->digest;  // only the same tasks make one curve
        mean += e->headline->value / k;
        const double se = e->headline->standard_error.value_or(0);
        variance += se * se;
      }
      add(identity, "category:" + category,
          category + " (mean of " + std::to_string(members.size()) + ")", members[0]->description,
          mean, std::sqrt(variance) / k);
    }
  }
  for (Series& series : all) finish(series, options);
  return all;
}

std::map<std::string, CheckpointNoise> checkpoint_noise(std::span<const Series> series) {
  std::map<std::string, CheckpointNoise> noise;
  std::map<std::string, std::pair<double, double>> sums;  // of squares, of degrees of freedom
  for (const Series& s : series) {
    if (!s.noise) continue;
    const double freedom = static_cast<double>(s.noise_points) - 2;
    auto& [squares, total] = sums[s.task];
    squares += *s.noise * *s.noise * freedom;
    total += freedom;
  }
  for (const auto& [task, sum] : sums)
    noise[task] = {std::sqrt(sum.first / sum.second), sum.second};
  return noise;
}

Table series_table(std::span<const Series> series) {
  Table table;
  table.columns = {{"task", Align::left},
                   {"series", Align::left},
                   {"points"},
                   {"first"},
                   {"last"},
                   {"mean"},
                   {"noise"},
                   {"S/N"}};
  for (const Series& s : series) {
    if (s.points.empty()) continue;
    table.rows.push_back({"",
                          {{s.task_name},
                           {s.name},
                           {std::to_string(s.points.size())},
                           {score_text(s.points.front().value, s.unit)},
                           {score_text(s.points.back().value, s.unit)},
                           {score_text(s.last_mean, s.unit)},
                           {s.noise ? score_text(*s.noise, s.unit) : "–"},
                           {s.signal_to_noise ? fixed_text(*s.signal_to_noise, 1) : "–"}}});
  }
  table.notes.push_back(
      "Mean and noise are of the last checkpoints (--last); noise is the standard deviation of the "
      "scores "
      "about their line and needs four; S/N: change of the smoothed curve over noise.");
  return table;
}

std::string series_json(std::span<const Series> series) {
  json::Writer out;
  out.begin_array();
  for (const Series& s : series) {
    out.begin_object().member("series", s.name).member("task", s.task);
    out.member("name", s.task_name).member("unit", s.unit).member("category", s.category);
    out.member("higher_is_better", s.higher_is_better).member("key", sha256_hex(s.identity).substr(0, 16));
    out.member("last_mean", s.last_mean);
    out.member("noise", s.noise);
    out.member("signal_to_noise", s.signal_to_noise);
    out.key("points").begin_array();
    for (const SeriesPoint& p : s.points) {
      out.begin_object().member("label", p.label);
      out.member("step", p.step);
      out.member("tokens", p.tokens);
      out.member("value", p.value).member("smoothed", p.smoothed);
      out.member("standard_error", p.standard_error);
      out.end_object();
    }
    out.end_array().end_object();
  }
  return out.end_array().take();
}

}  // namespace assay::results
