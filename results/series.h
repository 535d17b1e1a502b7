// `assay series`: scores over training, with the noise between checkpoints.
//
// Two errors are told apart (docs/statistics.md): the item error, how far the score on these documents
// may be from the score on all documents like them, is the same for neighbouring checkpoints and is
// shown as a band; the checkpoint noise is how much a score jumps from one checkpoint to the next, the
// standard deviation of the last n scores about their least-squares line.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "results/queries.h"
#include "results/table.h"

namespace assay::results {

struct SeriesPoint {
  std::string label;
  std::optional<int64_t> step, tokens;
  double value = 0;
  std::optional<double> standard_error;
  double smoothed = 0;  // local-linear fit over the neighbours (window points on each side),
                        // never outside their range
};

struct Series {
  std::string name;      // what its checkpoints' names have in common: "base"
  std::string identity;  // equal for series of the same question, which belong into one chart
  std::string task, task_name, unit, category;
  bool higher_is_better = true;
  std::vector<SeriesPoint> points;     // ascending tokens, or steps where tokens are unknown
  std::optional<double> noise;         // sigma between checkpoints; needs 4 points or more
  size_t noise_points = 0;             // how many checkpoints it was estimated from
  double last_mean = 0;                // of the last n points
  std::optional<double> signal_to_noise;  // |last - first| of the smoothed curve / noise
};

// What a checkpoint's name says without its training progress: "base-step-000600" -> "base",
// "olmo-step1000-tokens4B" -> "olmo"; "checkpoints" where nothing is left ("step-600").
std::string series_name(const RunSummary& run);

struct SeriesOptions {
  size_t last = 5;    // checkpoints for noise and averaging
  size_t window = 2;  // of the smoothing
};

// Curves of all evaluations that the runs have in common by identity, one a task and series. Runs
// without a training step are refused by name. A category's mean over its percent tasks is added as
// task "category:NAME" where every run has the same tasks.
std::vector<Series> build_series(const Store& store, std::span<const RunSummary> runs,
                                 const SeriesOptions& options = {});

// The standard deviation between checkpoints and how well it is known.
struct CheckpointNoise {
  double sigma = 0;               // in the metric's unit
  double degrees_of_freedom = 1;  // n - 2 of the n checkpoints it was estimated from
};
// task -> noise, for a gate; tasks whose noise is unknown are left out. Series are pooled, weighted by
// their degrees of freedom.
std::map<std::string, CheckpointNoise> checkpoint_noise(std::span<const Series> series);

struct PlotOptions {
  size_t width = 80;
  size_t rows = 4;      // lines of a chart
  bool unicode = true;  // Braille dots; else ASCII
  bool color = false;   // series of one question share a chart; without colours each has its own
};
// Charts of the series that have two points or more, as many side by side as fit; "" where there is
// none. A chart's numbers are its largest and smallest value.
std::string series_plot(std::span<const Series> series, const PlotOptions& options);

Table series_table(std::span<const Series> series);
// An array, one object a series, with all points.
std::string series_json(std::span<const Series> series);

// Standard deviation of the values about their least-squares line (divisor n - 2; n > 3), else
// nothing: two parameters are fitted, and one residual says nothing.
std::optional<double> detrended_noise(std::span<const double> x, std::span<const double> y);

}  // namespace assay::results
