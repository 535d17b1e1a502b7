// Curves in the terminal.
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "results/series.h"

namespace assay::results {
namespace {

Series line(const std::string& name, const std::vector<double>& values) {
  Series series;
  series.name = name;
  series.identity = series.task = series.task_name = "mmlu";
  series.unit = "percent";
  for (size_t i = 0; i < values.size(); ++i) {
    SeriesPoint point;
    point.label = name + std::to_string(i);
    point.step = static_cast<int64_t>(i) * 1000;
    point.tokens = *point.step * 4096;
    point.value = point.smoothed = values[i];
    series.points.push_back(point);
  }
  return series;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

TEST(SeriesPlot, DrawsALineFromCornerToCorner) {
  const std::vector<Series> all = {line("base", {0.25, 0.5, 0.75})};
  // Eleven columns of a chart: eight of numbers and a space, three of dots.
  const std::vector<std::string> drawn =
      lines_of(series_plot(all, {.width = 11, .rows = 3, .unicode = false}));
  ASSERT_GE(drawn.size(), 5u);
  EXPECT_EQ(drawn[0], "mmlu, base");
  EXPECT_EQ(drawn[1], "   75.0   *");
  EXPECT_EQ(drawn[2], "         *");
  EXPECT_EQ(drawn[3], "   25.0 *");
  // In Braille the same line is the diagonal of 2 x 4 dots: a point in the lower left and one in
  // the upper right corner (U+2840, U+2808) with the line between.
  const std::string braille = series_plot(all, {.width = 10, .rows = 1});
  EXPECT_EQ(lines_of(braille)[1], "   75.0 \u2860\u280a");
}

TEST(SeriesPlot, NeverWiderThanTheTerminal) {
  std::vector<Series> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(
        line("run\x1b[31m \xff with a long name " + std::to_string(i), {0.1, 0.9, 0.3, 0.4}));
    all.back().identity = all.back().task_name =
        "a task of a long name, number " + std::to_string(i) + " \u4e2d\u6587\u4e2d\u6587";
  }
  for (const size_t width : {40u, 80u, 133u}) {
    for (const bool unicode : {false, true}) {
      for (const std::string& text :
           lines_of(series_plot(all, {.width = width, .unicode = unicode}))) {
        EXPECT_LE(utf8::display_width(text), width) << text;
        EXPECT_TRUE(utf8::is_valid(text)) << text;
        EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
      }
    }
  }
}

TEST(SeriesPlot, LeavesOutWhatIsNoCurve) {
  EXPECT_EQ(series_plot(std::vector<Series>{line("base", {0.5})}, {}), "");
  EXPECT_EQ(series_plot({}, {}), "");
}

}  // namespace
}  // namespace assay::results
