#include "harness/watch/watch.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <new>
#include <thread>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "harness/evaluation/collector.h"
#include "harness/watch/journal.h"

namespace assay::harness {

namespace {

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// What is asked of every checkpoint: asked something else, a checkpoint is new again.
std::string question_digest(const EvaluationOptions& options) {
  Sha256 hash;
  hash.update_field(options.tasks);
  for (const std::string& variant : options.variants) hash.update_field(variant);
  hash.update_field(std::to_string(options.limit))
      .update_field(options.limit_first ? "first" : "sample")
      .update_field(std::to_string(options.shots.value_or(-1)))
      .update_field(std::to_string(options.max_length.value_or(0)))
      .update_field(options.boundary)
      .update_field(options.token_healing ? "healing" : "")
      .update_field(options.gold_answers ? "gold" : "")
      .update_field(std::to_string(options.seed))
      .update_field(std::to_string(static_cast<int>(options.engine.numerics)))
      .update_field(fs::absolute(options.store).lexically_normal().string());
  return hash.finish_hex().substr(0, 16);
}

int item_errors(const RunSummary& run) {
  int64_t errors = 0;
  for (const TaskSummary& task : run.tasks) errors += task.errors;
  return static_cast<int>(errors);
}

class Watch {
 public:
  Watch(const WatchOptions& options, const EvaluationOptions& evaluation, ProgressDisplay& display,
        const std::function<void(const RunSummary&, const std::string&)>& scored,
        const std::function<void(const std::string&)>& note)
      : options_(options),
        evaluation_(evaluation),
        display_(display),
        scored_(scored),
        note_(note),
        journal_(options.journal.empty() ? fs::path(evaluation.store.string() + ".watch.jsonl")
                                         : options.journal,
                 question_digest(evaluation)) {}

  WatchReport run() {
    // A wrong task name is found now and not when the first checkpoint arrives.
    (void)evaluate({}, evaluation_, display_);
    for (;;) {
      look();
      if (options_.once) return report_;
      const double until = unix_seconds() + options_.interval;
      while (!interrupted() && unix_seconds() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
      if (interrupted()) return report_;
    }
  }

 private:
  // Scores everything that has arrived; looks anew after each, since a checkpoint takes its time.
  void look() {
    while (!interrupted()) {
      std::vector<Arrival> all =
          look_for_checkpoints(options_.folder, options_.arrival, unix_seconds());
      if (options_.newest_first) std::reverse(all.begin(), all.end());
      const Arrival* next = nullptr;
      report_.known = report_.waiting = 0;
      for (const Arrival& arrival : all) {
        const WatchJournal::Entry entry = journal_.find(arrival.name, arrival.fingerprint);
        if (entry.scored) {
          ++report_.known;
        } else if (!arrival.missing.empty()) {
          ++report_.waiting;
          say_once(arrival.name, "not yet: " + arrival.missing);
        } else if (next == nullptr && is_due(arrival, entry)) {
          next = &arrival;
        }
      }
      if (next == nullptr) {
        if (all.empty()) say_once("", "no checkpoints yet in " + options_.folder.string());
        report_.known -= report_.scored;
        return;
      }
      score(*next);
    }
  }

  bool is_due(const Arrival& arrival, const WatchJournal::Entry& entry) {
    const auto later = later_.find(arrival.name);
    // One look tries each checkpoint once; a later one waits until its time has come.
    if (later != later_.end() && later->second.fingerprint == arrival.fingerprint &&
        (options_.once || unix_seconds() < later->second.time)) {
      return false;
    }
    if (entry.attempts < options_.tries || options_.once) return true;
    say_once(arrival.name, "given up after " + std::to_string(entry.attempts) +
                               " attempts; tried again when its files change");
    return false;
  }

  void score(const Arrival& arrival) {
    const int attempts = journal_.find(arrival.name, arrival.fingerprint).attempts;
    try {
      const std::vector<RunSummary> runs = evaluate({arrival.path.string()}, evaluation_, display_);
      if (const int errors = item_errors(runs.front()); errors > 0) {
        throw_resource(std::to_string(errors) + " documents could not be judged",
                       arrival.path.string());
      }
      const std::string line = scored_line(arrival, attempts + 1, runs.front());
      journal_.append(arrival.name, arrival.fingerprint, true, line);
      ++report_.scored;
      scored_(runs.front(), line);
    } catch (const Error& error) {
      if (interrupted()) throw;
      failed(arrival, attempts, error.kind(), error.what());
    } catch (const std::bad_alloc&) {
      failed(arrival, attempts, ErrorKind::resource, "out of memory");
    }
  }

  void failed(const Arrival& arrival, int attempts, ErrorKind kind, const std::string& what) {
    display_.end_model();
    std::error_code ignored;
    if (!fs::exists(arrival.path, ignored)) {
      note_(arrival.name + ": removed before it was scored");
      return;
    }
    // The command line cannot become right by waiting, and a defect should be seen.
    if (kind == ErrorKind::usage || kind == ErrorKind::internal) throw Error(kind, what);
    ++report_.failed;
    if (report_.exit_code == 0) report_.exit_code = static_cast<int>(kind);
    const bool counts = kind == ErrorKind::bad_input;
    if (counts) {
      journal_.append(arrival.name, arrival.fingerprint, false,
                      failed_line(arrival, attempts + 1, what));
    }
    const double wait = options_.interval * std::pow(2, std::min(attempts, 6));
    later_[arrival.name] = {arrival.fingerprint, unix_seconds() + wait};
    std::string then;
    if (!options_.once) {
      then = counts && attempts + 1 >= options_.tries
                 ? " (given up until its files change)"
                 : " (again in " + std::to_string(std::lround(wait)) + " s)";
    }
    note_(arrival.name + ": " + what + then);
  }

  void begin_line(json::Writer& out, const Arrival& arrival, const char* status, int attempt) const {
    out.begin_object()
        .member("status", status)
        .member("checkpoint", arrival.name)
        .member("path", fs::absolute(arrival.path).lexically_normal().string())
        .member("fingerprint", arrival.fingerprint)
        .member("question", journal_.question())
        .member("attempt", attempt)
        .member("time", static_cast<int64_t>(unix_seconds()));
  }

  std::string failed_line(const Arrival& arrival, int attempt, const std::string& what) const {
    json::Writer out;
    begin_line(out, arrival, "failed", attempt);
    return out.member("error", what).end_object().take();
  }

  std::string scored_line(const Arrival& arrival, int attempt, const RunSummary& run) const {
    json::Writer out;
    begin_line(out, arrival, "scored", attempt);
    out.member("store", evaluation_.store.string())
        .member("run", static_cast<int64_t>(run.run))
        .member("label", run.label);
    out.member("step", run.training_step).member("tokens", run.training_tokens);
    out.member("seconds", run.seconds).key("tasks").begin_array();
    for (const TaskSummary& task : run.tasks) {
      out.begin_object()
          .member("task", task.task)
          .member("variant", task.variant)
          .member("metric", task.metric)
          .member("unit", task.unit);
      if (task.headline) {
        out.member("value", task.headline->value)
            .member("low", task.headline->low)
            .member("high", task.headline->high)
            .member("standard_error", task.headline->standard_error)
            .member("documents", task.headline->n);
      }
      out.end_object();
    }
    return out.end_array().end_object().take();
  }

  void say_once(const std::string& about, const std::string& what) {
    // (the seconds in "changed 3 s ago" are no news)
    std::string& last = said_[about];
    const std::string gist = what.substr(0, what.find(" s ago"));
    const auto digits = gist.find_last_not_of("0123456789");
    if (last == gist.substr(0, digits)) return;
    last = gist.substr(0, digits);
    note_(about.empty() ? what : about + ": " + what);
  }

  struct Later {
    std::string fingerprint;
    double time = 0;
  };
  const WatchOptions& options_;
  const EvaluationOptions& evaluation_;
  ProgressDisplay& display_;
  const std::function<void(const RunSummary&, const std::string&)>& scored_;
  const std::function<void(const std::string&)>& note_;
  WatchJournal journal_;
  WatchReport report_;
  std::map<std::string, Later> later_;
  std::map<std::string, std::string> said_;
};

}  // namespace

WatchReport watch(const WatchOptions& options, const EvaluationOptions& evaluation,
                  ProgressDisplay& display,
                  const std::function<void(const RunSummary&, const std::string& line)>& scored,
                  const std::function<void(const std::string&)>& note) {
  std::error_code ignored;
  if (!fs::is_directory(options.folder, ignored)) {
    throw_bad_input("is no directory", options.folder.string(),
                    "name the folder in which checkpoints appear");
  }
  if (fs::exists(options.folder / "config.json", ignored)) {
    throw_usage(options.folder.string() + " is a checkpoint itself",
                "watch the folder above it, or use `assay run`");
  }
  return Watch(options, evaluation, display, scored, note).run();
}

}  // namespace assay::harness
