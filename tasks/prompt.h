// What a task asks a model for one document: context, continuations, stop rule, gold; and the exact
// text that was shown, so that it can be printed, hashed and stored.
//
// A Prompt is text only (UTF-8). Tokens, BOS and the context/continuation boundary (joint
// tokenisation, task-specs 0.5) belong to the run; `Length` says what to do when tokens are too
// many.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay::tasks {

enum class RequestKind {
  choice,    // one context, one continuation per option
  partial,   // one context per option, one shared continuation (WinoGrande)
  generate,  // one context, generated text
  rolling,   // every token of a text (bits per byte)
};
std::string_view request_kind_name(RequestKind kind);

// Number of tokens of a text including the BOS that the run adds; empty = no length limit applies.
using TokenCounter = std::function<int64_t(std::string_view text)>;

struct Option {
  // Appended to the context as it is: lead space, and whitespace moved from the end of the context.
  std::string continuation;
  // UTF-8 bytes and code points of the option text without the lead space (normalisers byte, char).
  int64_t bytes = 0;
  int64_t code_points = 0;
};

struct GenerationRule {
  std::vector<std::string> stop;  // matched on the decoded bytes; the stop text is removed
  int max_new_tokens = 256;
  double temperature = 0;  // 0 = greedy
  double top_p = 1;
  int samples = 1;
};

// What to do when prompt and answer exceed max_len tokens.
enum class TooLong {
  drop_shots,  // whole exemplars from the end, then text from the left of the query (done by
               // prompt())
  cut_left,    // the last tokens are kept, whatever they are (lm-eval; done where the tokens are)
};

struct Prompt {
  RequestKind kind = RequestKind::choice;

  // choice, generate: the context. rolling: the text. partial: contexts[0].
  std::string context;
  // Fill-in-the-middle: the text after the hole, `context` being the text before it. The run puts the
  // tokenizer's own tokens around them.
  std::optional<std::string> suffix;
  std::vector<std::string> contexts;  // partial: one per option; else empty
  std::vector<Option> options;        // choice, partial (all with the same continuation)
  // choice with an unconditional pass: the context of U; "" is a real value (BOS alone).
  std::optional<std::string> uncond_context;
  bool whole = false;  // the mean loss of context + continuation over all its tokens is needed

  GenerationRule generation;  // generate
  // generate: the reference answer as an exemplar answer would be rendered, to be scored after
  // `context` (bits per byte of the gold answer); empty continuation = the task has none.
  Option gold_answer;

  // Gold option indices (usually one; AGIEval lmeval accepts any), or the texts compared with.
  std::vector<int> gold_options;
  std::vector<std::string> gold_texts;

  std::vector<std::string>
      exemplars;        // document ids or "literal:N", in prompt order, after dropping
  int shots_asked = 0;  // len(exemplars) + dropped, or fewer where the data has fewer
  int shots_used = 0;
  bool truncated = false;  // text was cut from the left of the query
  TooLong too_long = TooLong::drop_shots;
};

}  // namespace assay::tasks
