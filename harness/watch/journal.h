// What a watch has done: one JSON line an attempt, appended and flushed, so that a watch that was
// killed goes on where it was and a person or a script can follow with `tail -f`.
//
// A line: checkpoint, path, fingerprint, question (digest of what was asked), status ("scored",
// "failed"), attempt, time (Unix seconds); if scored: run, label, step, tokens, store, tasks with
// task, variant, metric, unit, value, low, high, standard_error, documents, errors; if failed: error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace assay::harness {

class WatchJournal {
 public:
  // Reads what is there; lines that were cut short (the program was killed) and those of other
  // questions are kept and ignored. Throws bad_input for a file that is something else altogether.
  WatchJournal(std::filesystem::path path, std::string question);

  struct Entry {
    bool scored = false;
    int attempts = 0;  // failed ones so far
  };
  // For a checkpoint with these very files.
  Entry find(const std::string& checkpoint, const std::string& fingerprint) const;

  // `line`: one JSON object without a line break, with the members above.
  void append(const std::string& checkpoint, const std::string& fingerprint, bool scored,
              std::string_view line);

  const std::string& question() const { return question_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::string question_;
  std::map<std::pair<std::string, std::string>, Entry> entries_;
};

}  // namespace assay::harness
