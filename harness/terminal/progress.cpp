#include "harness/terminal/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "base/utf8.h"

namespace assay::harness {

namespace {

using Clock = std::chrono::steady_clock;

int terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 80;
}

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

std::string bar(double fraction, int width) {
  const int full = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * width + 0.5);
  std::string out;
  for (int i = 0; i < width; ++i) out += i < full ? "\u2588" : "\u2591";
  return out;
}

std::string format(const char* pattern, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, pattern, value);
  return buffer;
}

std::string task_line(const TaskProgress& task, size_t name_width, bool with_bar) {
  const double fraction =
      task.total > 0 ? static_cast<double>(task.done) / static_cast<double>(task.total) : 1;
  std::string line = "  " + utf8::padded(task.name, name_width) + "  ";
  if (with_bar) line += bar(fraction, 20) + "  ";
  const std::string total = std::to_string(task.total);
  std::string done = std::to_string(task.done);
  done.insert(0, total.size() - std::min(total.size(), done.size()), ' ');
  line += done + "/" + total;
  if (task.has_score) line += "  " + format("%6.2f", task.score) + " " + task.unit;
  if (task.waiting > 0) line += "  (" + std::to_string(task.waiting) + " programs)";
  return line;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<long>(std::lround(std::max(0.0, seconds)));
  char buffer[48];
  if (s >= 3600) {
    std::snprintf(buffer, sizeof buffer, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  } else if (s >= 60) {
    std::snprintf(buffer, sizeof buffer, "%ld:%02ld", s / 60, s % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%ld s", s);
  }
  return buffer;
}

std::string count_text(double count) {
  if (count >= 1e9) return format("%.2f G", count / 1e9);
  if (count >= 1e6) return format("%.2f M", count / 1e6);
  if (count >= 1e4) return format("%.1f k", count / 1e3);
  return format("%.0f", count);
}

ProgressDisplay::ProgressDisplay(Verbosity verbosity) : verbosity_(verbosity) {}
ProgressDisplay::~ProgressDisplay() { erase(); }

Verbosity ProgressDisplay::choose(bool quiet) {
  if (quiet) return Verbosity::quiet;
  return ::isatty(STDERR_FILENO) != 0 ? Verbosity::live : Verbosity::lines;
}

void ProgressDisplay::begin_model(std::string_view name, size_t number, size_t count) {
  title_ = std::string(name);
  if (count > 1) title_ += " (" + std::to_string(number) + " of " + std::to_string(count) + ")";
  tasks_.clear();
  engine_ = {};
  engine_stage_.clear();
  tasks_to_come_ = false;
  started_ = last_draw_ = Clock::now();
  if (verbosity_ == Verbosity::lines) std::cerr << title_ << '\n';
}

void ProgressDisplay::note(std::string_view line) {
  if (verbosity_ == Verbosity::quiet) return;
  erase();
  std::cerr << utf8::printable(line) << '\n';
}

void ProgressDisplay::stage(std::string_view what) {
  stage_ = std::string(what);
  engine_stage_.clear();
  refresh(true);
}

void ProgressDisplay::engine(const engine::EngineProgress& progress) {
  engine_ = progress;
  engine_stage_ = std::string(progress.stage);
  refresh();
}

std::string ProgressDisplay::overall_line() const {
  if (engine_stage_.empty()) return "  " + stage_;
  const auto done = static_cast<double>(engine_.tokens_done);
  const auto planned = static_cast<double>(engine_.tokens_planned);
  std::string line = "  " + engine_stage_ + ": " + count_text(done) + " of " +
                     count_text(planned) + " tokens";
  if (engine_.seconds > 0.2 && done > 0) {
    const double rate = done / engine_.seconds;
    line += ", " + count_text(rate) + " tokens/s";
    if (planned > done && !tasks_to_come_) {
      line += ", " + duration_text((planned - done) / rate) + " left";
    }
  }
  if (tasks_to_come_) line += "; more to come";
  return line;
}

void ProgressDisplay::refresh(bool force) {
  if (verbosity_ == Verbosity::quiet) return;
  const double interval = verbosity_ == Verbosity::live ? 0.15 : 10.0;
  if (!force && seconds_since(last_draw_) < interval) return;
  if (verbosity_ == Verbosity::lines && force && tasks_.empty()) return;
  last_draw_ = Clock::now();
  draw();
}

void ProgressDisplay::draw() {
  if (verbosity_ == Verbosity::lines) {
    int64_t done = 0, total = 0;
    for (const TaskProgress& task : tasks_) done += task.done, total += task.total;
    if (engine_stage_.empty()) return;
    std::cerr << overall_line() << "; " << done << "/" << total << " documents\n";
    return;
  }
  erase();
  const auto columns = static_cast<size_t>(terminal_columns());
  size_t name_width = 8;
  for (const TaskProgress& task : tasks_) {
    name_width = std::max(name_width, utf8::display_width(task.name));
  }
  name_width = std::min<size_t>(name_width, 24);
  std::vector<std::string> lines{"\x1b[1m" + title_ + "\x1b[0m  " +
                                 duration_text(seconds_since(started_))};
  for (const TaskProgress& task : tasks_) {
    std::string line = task_line(task, name_width, columns >= 72);
    // A line that wraps would break the redrawing.
    while (utf8::display_width(line) >= columns) line.pop_back();
    lines.push_back(std::move(line));
  }
  lines.push_back(overall_line());
  std::string out;
  for (const std::string& line : lines) out += line + '\n';
  std::cerr << out << std::flush;
  drawn_lines_ = static_cast<int>(lines.size());
}

void ProgressDisplay::erase() {
  if (drawn_lines_ == 0) return;
  std::cerr << "\x1b[" << drawn_lines_ << "A\r\x1b[J" << std::flush;
  drawn_lines_ = 0;
}

void ProgressDisplay::end_model() {
  if (verbosity_ == Verbosity::live) {
    erase();
  } else if (verbosity_ == Verbosity::lines) {
    for (const TaskProgress& task : tasks_) std::cerr << task_line(task, 20, false) << '\n';
  }
  tasks_.clear();
}

}  // namespace assay::harness
