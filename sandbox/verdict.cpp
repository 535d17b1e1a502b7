#include "sandbox/verdict.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/json.h"
#include "base/utf8.h"

namespace assay::sandbox {
namespace {

bool exited(const Exit& exit) { return exit.known && WIFEXITED(exit.status); }
int exit_status(const Exit& exit) { return exited(exit) ? WEXITSTATUS(exit.status) : -1; }
int end_signal(const Exit& exit) {
  return exit.known && WIFSIGNALED(exit.status) ? WTERMSIG(exit.status) : 0;
}
// The kernel ends a process that reached RLIMIT_CPU with one of these.
bool cpu_killed(const Exit& exit, const Limits& limits) {
  const int signal = end_signal(exit);
  return (signal == SIGKILL || signal == SIGXCPU) && exit.cpu_seconds >= limits.cpu_seconds;
}

std::string exception_reason(const std::string& type) {
  if (type == "SyntaxError" || type == "IndentationError" || type == "TabError") return "syntax";
  return utf8::printable(std::string_view(type).substr(0, 100));
}

// What decides whatever the processes said. True if it did.
bool judge_limits(const Observation& seen, const Limits& limits, Judgement& judgement) {
  const auto set = [&](Outcome outcome, std::string_view reason) {
    judgement.outcome = outcome;
    judgement.reason = reason;
    return true;
  };
  if (!seen.broken.empty()) return set(Outcome::sandbox_error, seen.broken);
  switch (seen.stop) {
    case Stop::wall_limit:
      return set(Outcome::timeout, "wall_limit");
    case Stop::cpu_limit:
      return set(Outcome::timeout, "cpu_limit");
    case Stop::memory:
      return set(Outcome::memory, "memory");
    case Stop::processes:
      return set(Outcome::fail, "process_limit");
    case Stop::files:
      return set(Outcome::fail, "file_limit");
    case Stop::output_limit:
      return set(Outcome::fail, "output_limit");
    case Stop::none:
      break;
  }
  if (seen.oom_killed) return set(Outcome::memory, "memory");
  // Once decided the candidate is killed: then its end says nothing.
  if (!seen.checker_spoke || seen.reason == "candidate_exit") {
    if (cpu_killed(seen.candidate, limits)) return set(Outcome::timeout, "cpu_limit");
  }
  if (!seen.checker_spoke && cpu_killed(seen.checker, limits)) {
    return set(Outcome::timeout, "cpu_limit");
  }
  return false;
}

Judgement judge_exit(const Observation& seen) {
  if (seen.error_type == "MemoryError") {
    return {Outcome::memory, "MemoryError", seen.error_text};
  }
  if (seen.link_closed) return {Outcome::fail, "frame", "the program closed its channel"};
  const int signal = end_signal(seen.candidate);
  // Process 1 of a pid namespace cannot be killed from inside, not even by itself; limits were
  // looked at before.
  if (signal == SIGKILL && seen.level != Level::c) {
    return {Outcome::sandbox_error, "the program was killed from outside", ""};
  }
  if (signal != 0) {
    return {Outcome::fail, "signal " + std::to_string(signal), ""};
  }
  if (!seen.error_type.empty()) {
    return {Outcome::fail, exception_reason(seen.error_type), seen.error_text};
  }
  return {Outcome::fail, "exit_status",
          "the program ended with status " + std::to_string(exit_status(seen.candidate))};
}

}  // namespace

Judgement judge_checked(const Observation& seen, const Limits& limits) {
  Judgement judgement;
  if (judge_limits(seen, limits, judgement)) return judgement;
  if (!seen.checker_spoke) {
    const int signal = end_signal(seen.checker);
    judgement.reason =
        signal != 0 ? "the checker was ended by signal " + std::to_string(signal)
                    : "the checker ended with status " + std::to_string(exit_status(seen.checker));
    return judgement;
  }
  if (seen.outcome == "passed") {
    if (exit_status(seen.checker) == 0) return {Outcome::pass, "", ""};
    judgement.reason = "the checker did not end normally";
    return judgement;
  }
  if (seen.outcome == "unsupported") {
    return {Outcome::sandbox_error, "unsupported " + seen.reason, seen.detail};
  }
  if (seen.outcome != "failed") {
    judgement.reason = "the checker gave no verdict";
    return judgement;
  }
  if (seen.reason == "candidate_exit") return judge_exit(seen);
  if (seen.reason == "MemoryError") return {Outcome::memory, seen.reason, seen.detail};
  return {Outcome::fail, utf8::printable(seen.reason), seen.detail};
}

Judgement judge_script(const Observation& seen, const Limits& limits, bool any_exit_status) {
  Judgement judgement;
  if (judge_limits(seen, limits, judgement)) return judgement;
  const int status = exit_status(seen.candidate);
  const bool normal = seen.error_type.empty() && (status == 0 || (any_exit_status && status > 0));
  return normal ? Judgement{Outcome::pass, "", ""} : judge_exit(seen);
}

namespace {

std::string visible(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    bool valid = true;
    const char32_t c = utf8::decode(text, at, &valid);
    if (!valid) {
      static constexpr char kHex[] = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(text[start]);
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else if (c == '\n' || c == '\t') {
      out.push_back(static_cast<char>(c));
    } else {
      out += utf8::printable(text.substr(start, at - start));
    }
  }
  return out;
}

// At most `size` bytes from the front (or the back) of valid UTF-8, cut between characters.
std::string_view front(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (text[size] & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}
std::string_view back(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  size_t at = text.size() - size;
  while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;
  return text.substr(at);
}

}  // namespace

std::string excerpt(std::string_view text, size_t half) {
  // A little slack, so that an excerpt of an excerpt is the same.
  if (text.size() <= 2 * half + 64) {
    const std::string all = visible(text);
    if (all.size() <= 2 * half + 64) return all;
    return std::string(front(all, half)) + "\n[...]\n" + std::string(back(all, half));
  }
  // Only the ends are escaped: the text may be large. A character cut in two shows as bytes.
  const std::string first = visible(text.substr(0, half));
  const std::string last = visible(text.substr(text.size() - half));
  return std::string(front(first, half)) + "\n[... " + std::to_string(text.size() - 2 * half) +
         " bytes ...]\n" + std::string(back(last, half));
}

std::string_view outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::pass:
      return "pass";
    case Outcome::fail:
      return "fail";
    case Outcome::timeout:
      return "timeout";
    case Outcome::memory:
      return "memory";
    case Outcome::sandbox_error:
      break;
  }
  return "sandbox_error";
}

std::string Verdict::json() const {
  for (size_t half = 2048;; half /= 2) {
    json::Writer writer;
    const auto text = [&](std::string_view name, std::string_view value) {
      writer.member(name, excerpt(value, half));
    };
    writer.begin_object();
    writer.member("verdict", outcome_name(outcome));
    text("reason", reason);
    text("detail", detail);
    writer.member("level", level_name(level));
    writer.member("wall_ms", wall_ms).member("cpu_ms", cpu_ms).member("peak_kib", peak_kib);
    text("stdout", stdout_text);
    text("stderr", stderr_text);
    writer.member("stdout_bytes", stdout_bytes).member("stderr_bytes", stderr_bytes);
    writer.member("candidate_exit", candidate_exit).member("candidate_signal", candidate_signal);
    writer.member("checker_exit", checker_exit).member("checker_signal", checker_signal);
    writer.member("oom_killed", oom_killed).member("cases_run", cases_run);
    writer.key("limits").begin_object();
    writer.member("cpu_seconds", limits.cpu_seconds).member("wall_seconds", limits.wall());
    writer.member("memory_bytes", limits.memory_bytes).member("processes", limits.processes);
    writer.member("files_bytes", limits.files_bytes).member("file_bytes", limits.file_bytes);
    writer.member("files", limits.files).member("output_bytes", limits.output_bytes);
    writer.member("frame_bytes", limits.frame_bytes).end_object();
    text("python", python_version);
    text("program_sha256", program_sha256);
    text("tests_sha256", tests_sha256);
    writer.key("attempts").begin_array();
    // At most three in practice: one, a retry, and one alone.
    for (size_t i = attempts.size() > 4 ? attempts.size() - 4 : 0; i < attempts.size(); ++i) {
      const Attempt& attempt = attempts[i];
      writer.begin_object().member("verdict", outcome_name(attempt.outcome));
      text("reason", attempt.reason);
      writer.member("wall_ms", attempt.wall_ms).member("cpu_ms", attempt.cpu_ms);
      writer.member("alone", attempt.alone).end_object();
    }
    writer.end_array().end_object();
    std::string record = writer.take();
    if (record.size() <= kMaxRecordBytes || half == 0) return record;
  }
}

}  // namespace assay::sandbox
