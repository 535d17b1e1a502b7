// What a person sees while a run is going: one line a task, one for the whole, redrawn in place on
// a terminal, printed now and then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace assay::harness {

enum class Verbosity { quiet, lines, live };

struct TaskProgress {
  std::string name;           // "mmlu@ds"
  int64_t done = 0, total = 0;  // documents judged
  double score = 0;           // running primary metric, as shown ("61.3")
  bool has_score = false;
  std::string unit;           // "%", "bpb"
  int64_t waiting = 0;        // programs being executed
};

// Used from one thread. Writes to standard error only.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(Verbosity verbosity);
  ~ProgressDisplay();

  // quiet if asked, live on a terminal, else lines.
  static Verbosity choose(bool quiet);

  void begin_model(std::string_view name, size_t number, size_t count);
  void note(std::string_view line);  // stays on the screen, above the live block
  void stage(std::string_view what);  // "planning", "loading weights"
  // The engine's plan is not the last: no time that is left can be given.
  void tasks_to_come(bool some) { tasks_to_come_ = some; }
  std::vector<TaskProgress>& tasks() { return tasks_; }
  void engine(const engine::EngineProgress& progress);
  void refresh(bool force = false);
  void end_model();

 private:
  void draw();
  void erase();
  std::string overall_line() const;

  Verbosity verbosity_;
  std::string title_, stage_;
  std::vector<TaskProgress> tasks_;
  engine::EngineProgress engine_;
  std::string engine_stage_;
  bool tasks_to_come_ = false;
  int drawn_lines_ = 0;
  std::chrono::steady_clock::time_point started_, last_draw_;
};

// "1:02:03", "2:03", "8 s".
std::string duration_text(double seconds);
// "1.30 M", "12.4 k", "873".
std::string count_text(double count);

}  // namespace assay::harness
