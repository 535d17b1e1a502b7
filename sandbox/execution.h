// One program, once: hands it to the slot's servers, watches clocks and limits, and collects what
// happened. Classifying that is verdict.cpp's work.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sandbox/control_group.h"
#include "sandbox/frames.h"
#include "sandbox/server.h"

namespace assay::sandbox {

// What one worker works with. The group holds the candidate side; it is declared first because it
// can only be removed after the servers have ended.
struct Slot {
  std::unique_ptr<ControlGroup> group;
  SlotServer candidate;
  SlotServer checker;
  int64_t server_bytes = 0;  // memory of the group before any program
  int64_t oom_kills = 0;     // seen so far
};

struct Job {
  std::string candidate_fields;           // pack_fields for candidate.py
  std::string checker_fields;             // for checker.py without the nonce; empty: no checker
  std::optional<std::string_view> input;  // standard input; nullopt: end of file at once
};

enum class Stop { none, wall_limit, cpu_limit, memory, processes, files, output_limit };

struct Exit {
  bool known = false;
  int status = 0;  // as wait gives it
  double cpu_seconds = 0;
  int64_t peak_kib = 0;
};

struct Observation {
  Level level = Level::c;
  std::string broken;  // the sandbox failed here; nothing else means anything
  Stop stop = Stop::none;
  bool checker_spoke = false;
  std::string outcome, reason, detail;  // what the checker said
  std::string error_type, error_text;   // what the candidate reported; never trusted for a pass
  Exit candidate, checker;
  bool oom_killed = false;
  bool link_closed = false;  // the candidate lived on after its end of the link was gone
  std::string output, errors;
  double wall_seconds = 0, cpu_seconds = 0;
  // How long the candidate was ready to run but had no processor.
  double starved_seconds = 0;
  int64_t peak_kib = 0;
};

// The slot stays usable unless `broken` is set. With `patient`, time in which the candidate was
// ready but had no processor is not counted against the wall clock limit, up to twenty times that
// limit.
Observation execute(Slot& slot, const Job& job, const Limits& limits, Level level, bool patient);

}  // namespace assay::sandbox
