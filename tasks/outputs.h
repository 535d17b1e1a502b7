// What a model answered for one document, as it is stored; grading needs nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay::tasks {

// One scored continuation (task-specs 0.6: S, T, greedy, U, L).
struct ContinuationScore {
  double logprob = 0;                         // S: sum over the scored tokens, nats
  int64_t tokens = 0;                         // T
  bool greedy = false;                        // every scored token is the arg-max
  bool boundary_merge = false;                // a token straddles context and continuation
  std::optional<double> uncond_logprob = {};  // U
  std::optional<double> whole_loss = {};  // L: mean NLL over all tokens of context + continuation
};

enum class Finish { stop, eos, length };

struct Generation {
  std::string text;  // up to the earliest stop string
  Finish finish = Finish::stop;
  double logprob = 0;
};

// What the sandbox said about one program (task-specs 5.0).
enum class Verdict {
  pass,
  fail_assert,
  fail_exception,
  syntax_error,
  timeout,
  oom,
  sandbox_error,
};
std::string_view verdict_name(Verdict verdict);
std::optional<Verdict> find_verdict(std::string_view name);  // as verdict_name() writes it

struct Execution {
  Verdict verdict = Verdict::sandbox_error;
  std::string reason;  // free text for people
  bool passed() const { return verdict == Verdict::pass; }
};

// Sum over all tokens of a text.
struct RollingScore {
  double nll = 0;  // nats
  int64_t tokens = 0;
};

struct Outputs {
  std::vector<ContinuationScore> options;  // choice, partial: one per option
  std::vector<Generation> generations;     // generate: GenerationRule::samples of them
  // One per program of programs(): generation 0's first. Empty until executed.
  std::vector<Execution> executions;
  std::optional<ContinuationScore> gold_answer;  // generate: the reference answer, teacher-forced
  std::optional<RollingScore> rolling;
};

}  // namespace assay::tasks
