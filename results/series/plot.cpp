// Curves for the terminal: small charts side by side, in Braille dots (2 x 4 a character) or ASCII.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/utf8.h"
#include "results/scores.h"
#include "results/series.h"
#include "results/table.h"

namespace assay::results {
namespace {

constexpr int kColors[] = {34, 33, 32, 35, 36, 31};
constexpr size_t kLabel = 7;  // columns of the numbers at the left

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // 0 to 1
  double at(double value) const { return high > low ? (value - low) / (high - low) : 0.5; }
};

class Canvas {
 public:
  Canvas(size_t columns, size_t rows, bool unicode)
      : columns_(columns),
        rows_(rows),
        unicode_(unicode),
        cells_(columns * rows, 0),
        owners_(columns * rows, 0) {}

  // x and y from 0 to 1; `point` draws over lines where a cell can show but one of them.
  void dot(double x, double y, size_t owner, bool point) {
    const size_t wide = columns_ * (unicode_ ? 2 : 1), tall = rows_ * (unicode_ ? 4 : 1);
    const auto place = [](double t, size_t n) {
      return static_cast<size_t>(std::lround(std::clamp(t, 0.0, 1.0) * static_cast<double>(n - 1)));
    };
    const size_t px = place(x, wide), py = tall - 1 - place(y, tall);
    const size_t cell = (unicode_ ? py / 4 : py) * columns_ + (unicode_ ? px / 2 : px);
    // U+2800: the bits of a cell's dots, column by column, the lowest row last.
    static constexpr uint8_t kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (unicode_)
      cells_[cell] |= kBits[py % 4][px % 2];
    else if (point || cells_[cell] == 0)
      cells_[cell] = point ? '*' : '.';
    owners_[cell] = owner;
  }
  void line(double x0, double y0, double x1, double y1, size_t owner) {
    const size_t steps = columns_ * 4 + rows_ * 8;
    for (size_t i = 0; i <= steps; ++i) {
      const double t = static_cast<double>(i) / static_cast<double>(steps);
      dot(x0 + t * (x1 - x0), y0 + t * (y1 - y0), owner, false);
    }
  }
  std::string row(size_t r, bool color) const {
    std::string out;
    for (size_t c = 0; c < columns_; ++c) {
      const uint8_t cell = cells_[r * columns_ + c];
      std::string shown(1, ' ');
      if (cell != 0 && unicode_) {
        shown = {'\xe2', static_cast<char>(0xa0 + (cell >> 6)),
                 static_cast<char>(0x80 + (cell & 63))};
      } else if (cell != 0) {
        shown = std::string(1, static_cast<char>(cell));
      }
      const int code = kColors[owners_[r * columns_ + c] % std::size(kColors)];
      out += color && cell != 0 ? "\x1b[" + std::to_string(code) + "m" + shown + "\x1b[0m" : shown;
    }
    return out;
  }

 private:
  size_t columns_, rows_;
  bool unicode_;
  std::vector<uint8_t> cells_;
  std::vector<size_t> owners_;
};

std::string fitted(const std::string& text, size_t width) {
  std::string out = utf8::printable(text);
  while (utf8::display_width(out) > width) {
    do out.pop_back();
    while (!out.empty() && (static_cast<uint8_t>(out.back()) & 0xC0) == 0x80);
    if (!out.empty() && (static_cast<uint8_t>(out.back()) & 0xC0) == 0xC0) out.pop_back();
  }
  return utf8::padded(out, width);
}

std::string padded_left(const std::string& text, size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

// Lines of equal display width.
std::vector<std::string> chart(std::span<const Series* const> group, bool by_tokens,
                               std::span<const size_t> owners, size_t width,
                               const PlotOptions& options) {
  const auto place = [&](const SeriesPoint& p) {
    return static_cast<double>(by_tokens ? *p.tokens : *p.step);
  };
  Range x, y;
  for (const Series* s : group) {
    for (const SeriesPoint& p : s->points) {
      x.add(place(p));
      y.add(p.value);
      y.add(p.smoothed);
    }
  }
  Canvas canvas(width - kLabel - 1, options.rows, options.unicode);
  for (size_t k = 0; k < group.size(); ++k) {
    const auto& points = group[k]->points;
    for (size_t i = 1; i < points.size(); ++i)
      canvas.line(x.at(place(points[i - 1])), y.at(points[i - 1].smoothed), x.at(place(points[i])),
                  y.at(points[i].smoothed), owners[k]);
  }
  for (size_t k = 0; k < group.size(); ++k)
    for (const SeriesPoint& p : group[k]->points)
      canvas.dot(x.at(place(p)), y.at(p.value), owners[k], true);
  const Series& first = *group[0];
  std::string title = first.task_name;
  if (group.size() == 1 && !options.color) title += ", " + first.name;
  std::vector<std::string> lines{fitted(title, width)};
  for (size_t r = 0; r < options.rows; ++r) {
    const std::string label = r == 0                  ? score_text(y.high, first.unit)
                              : r + 1 == options.rows ? score_text(y.low, first.unit)
                                                      : "";
    lines.push_back(padded_left(label, kLabel) + " " + canvas.row(r, options.color));
  }
  return lines;
}

std::string count_text(int64_t count) {
  const auto n = static_cast<double>(count);
  for (const auto& [unit, name] : {std::pair(1e12, "T"), {1e9, "G"}, {1e6, "M"}, {1e3, "k"}})
    if (n >= unit) return fixed_text(n / unit, n / unit < 10 ? 2 : n / unit < 100 ? 1 : 0) + name;
  return std::to_string(count);
}

}  // namespace

std::string series_plot(std::span<const Series> series, const PlotOptions& options) {
  std::vector<std::string> names;  // of the series, each with a colour of its own
  // Series of one question share a chart where colours can tell them apart.
  std::vector<std::vector<const Series*>> groups;
  bool by_tokens = true;
  for (const Series& s : series) {
    for (const SeriesPoint& p : s.points) by_tokens &= p.tokens.has_value();
    if (std::find(names.begin(), names.end(), s.name) == names.end()) names.push_back(s.name);
    const auto same = [&](const auto& g) { return options.color && g[0]->identity == s.identity; };
    const auto at = std::find_if(groups.begin(), groups.end(), same);
    if (at != groups.end())
      at->push_back(&s);
    else
      groups.push_back({&s});
  }
  std::erase_if(groups, [&](const auto& group) {
    return std::all_of(group.begin(), group.end(), [&](const Series* s) {
      return s->points.size() < 2 || (!by_tokens && !s->points.front().step);
    });
  });
  if (groups.empty()) return "";
  const size_t across = groups.size() > 1 ? std::max<size_t>(1, (options.width + 2) / 40) : 1;
  const size_t width = (options.width + 2) / across - 2;
  std::string out;
  if (options.color && names.size() > 1) {
    for (size_t k = 0; k < names.size(); ++k)
      out += "\x1b[" + std::to_string(kColors[k % std::size(kColors)]) + "m" +
             utf8::printable(names[k]) + "\x1b[0m  ";
    out += "\n\n";
  }
  for (size_t begin = 0; begin < groups.size(); begin += across) {
    std::vector<std::string> lines(options.rows + 1);
    for (size_t k = begin; k < std::min(begin + across, groups.size()); ++k) {
      std::vector<size_t> owners;
      for (const Series* s : groups[k])
        owners.push_back(
            static_cast<size_t>(std::find(names.begin(), names.end(), s->name) - names.begin()));
      const auto drawn = chart(groups[k], by_tokens, owners, width, options);
      for (size_t i = 0; i < lines.size(); ++i) lines[i] += (k > begin ? "  " : "") + drawn[i];
    }
    for (std::string& line : lines) {
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
    out += "\n";
  }
  int64_t low = std::numeric_limits<int64_t>::max(), high = 0;
  for (const auto& group : groups) {
    for (const Series* s : group) {
      for (const SeriesPoint& p : s->points) {
        low = std::min(low, by_tokens ? *p.tokens : *p.step);
        high = std::max(high, by_tokens ? *p.tokens : *p.step);
      }
    }
  }
  out += wrap_text("Across: training " + std::string(by_tokens ? "tokens" : "steps") + ", " +
                       count_text(low) + " to " + count_text(high) +
                       "; the line is smoothed, the dots are the scores.",
                   options.width);
  return out;
}

}  // namespace assay::results
