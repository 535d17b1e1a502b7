#include "harness/evaluation/task_run.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/workers.h"
#include "harness/evaluation/evaluation.h"
#include "harness/evaluation/tokens.h"

namespace assay::harness {

namespace {

using engine::TokenId;

// A score request before its tokens have their final place.
struct DraftScore {
  std::vector<TokenId> context, continuation;
  ScoreReference reference;
};

struct Draft {
  tasks::Prompt prompt;
  std::vector<DraftScore> scores;
  std::vector<TokenId> generate_prompt;
  std::string required;  // of a healed prompt: what was taken from its end
  int healed_tokens = 0;
  bool literal_bos = false;
};

class Drafter {
 public:
  Drafter(const TaskRun& run, int number, const engine::Tokenizer& tokenizer,
          const WorkloadPolicy& policy)
      : run_(run), number_(number), tokenizer_(tokenizer), policy_(policy),
        boundary_(engine::parse_boundary_policy(policy.boundary)) {}

  Draft draft(size_t i) const {
    Draft out;
    out.prompt = run_.task.prompt(i, [&](std::string_view text) {
      return static_cast<int64_t>(engine::encode_prompt(tokenizer_, text).size());
    });
    switch (out.prompt.kind) {
      case tasks::RequestKind::choice:
      case tasks::RequestKind::partial:
        draft_choice(i, out);
        break;
      case tasks::RequestKind::generate:
        draft_generate(i, out);
        break;
      case tasks::RequestKind::rolling:
        draft_rolling(i, out);
        break;
    }
    return out;
  }

 private:
  void add(Draft& out, size_t i, int option, Role role, const engine::ContextEncoder& context,
           bool context_is_empty, std::string_view continuation) const {
    engine::EncodedPair pair = encode_scored(tokenizer_, context, context_is_empty, continuation);
    out.literal_bos |= pair.literal_bos;
    if (pair.continuation_ids.empty()) {
      throw_bad_input("the continuation has no tokens to score", run_.task.document(i).id,
                      "the option's text is empty");
    }
    DraftScore score;
    score.reference = {number_, static_cast<int32_t>(i), option, role, pair.boundary_merge,
                       static_cast<int32_t>(pair.continuation_ids.size())};
    score.context = std::move(pair.context_ids);
    score.continuation = std::move(pair.continuation_ids);
    fit(i, score);
    if (role == Role::whole) {
      // L needs every token after the first; S is read from the end of the same request.
      score.continuation.insert(score.continuation.begin(), score.context.begin() + 1,
                                score.context.end());
      score.context.resize(1);
    }
    out.scores.push_back(std::move(score));
  }

  // lm-eval's rule keeps the last tokens; with DeepSeek's, prompt() has dropped exemplars already.
  void fit(size_t i, DraftScore& score) const {
    const auto limit = static_cast<size_t>(policy_.context_length);
    const size_t total = score.context.size() + score.continuation.size();
    if (limit == 0 || total <= limit) return;
    if (!cut_left(score.context, score.continuation.size(), limit)) {
      throw_bad_input("the continuation alone takes " + std::to_string(score.continuation.size()) +
                          " tokens, the model's context is " + std::to_string(limit),
                      run_.task.document(i).id);
    }
  }

  void draft_choice(size_t i, Draft& out) const {
    const tasks::Prompt& prompt = out.prompt;
    const Role role = prompt.whole ? Role::whole : Role::option;
    std::optional<engine::ContextEncoder> shared, unconditional;
    if (prompt.contexts.empty()) shared.emplace(tokenizer_, prompt.context, boundary_);
    if (prompt.uncond_context) unconditional.emplace(tokenizer_, *prompt.uncond_context, boundary_);
    for (size_t k = 0; k < prompt.options.size(); ++k) {
      const std::string& continuation = prompt.options[k].continuation;
      const int option = static_cast<int>(k);
      if (shared) {
        add(out, i, option, role, *shared, prompt.context.empty(), continuation);
      } else {
        const engine::ContextEncoder own(tokenizer_, prompt.contexts[k], boundary_);
        add(out, i, option, role, own, prompt.contexts[k].empty(), continuation);
      }
      if (unconditional) {
        add(out, i, option, Role::uncond, *unconditional, prompt.uncond_context->empty(),
            continuation);
      }
    }
  }

  void draft_generate(size_t i, Draft& out) const {
    const tasks::Prompt& prompt = out.prompt;
    if (prompt.suffix) return draft_middle(i, out);
    const engine::ContextEncoder context(tokenizer_, prompt.context, boundary_);
    out.generate_prompt = context.prompt();
    out.literal_bos = context.literal_bos();
    const auto limit = static_cast<size_t>(policy_.context_length);
    if (limit > 0) {
      const auto room = static_cast<size_t>(std::max(1, prompt.generation.max_new_tokens));
      if (out.generate_prompt.size() + room > limit &&
          !cut_left(out.generate_prompt, std::min(room, limit - 1), limit)) {
        throw_bad_input("the prompt does not fit the model's context of " + std::to_string(limit) +
                            " tokens",
                        run_.task.document(i).id, "a smaller --shots may help");
      }
    }
    if (policy_.token_healing) {
      engine::HealedPrompt healed = engine::heal_prompt(tokenizer_, out.generate_prompt);
      out.healed_tokens = static_cast<int>(out.generate_prompt.size() - healed.ids.size());
      out.generate_prompt = std::move(healed.ids);
      out.required = std::move(healed.bytes);
    }
    if (policy_.gold_answers && !prompt.gold_answer.continuation.empty()) {
      engine::EncodedPair pair = context.with(prompt.gold_answer.continuation);
      DraftScore score;
      score.reference = {number_, static_cast<int32_t>(i), 0, Role::gold_answer,
                         pair.boundary_merge, static_cast<int32_t>(pair.continuation_ids.size())};
      score.context = std::move(pair.context_ids);
      score.continuation = std::move(pair.continuation_ids);
      // A reference answer longer than the context is a missing companion, not an error.
      const bool fits =
          limit == 0 || cut_left(score.context, score.continuation.size(), limit);
      if (fits && !score.continuation.empty()) out.scores.push_back(std::move(score));
    }
  }

  // The FIM end token stands between prompt and answer, so that the two are tokenised apart.
  void draft_middle(size_t i, Draft& out) const {
    const tasks::Prompt& prompt = out.prompt;
    out.generate_prompt = encode_middle(tokenizer_, prompt.context, *prompt.suffix);
    std::vector<TokenId> gold = tokenizer_.encode(prompt.gold_answer.continuation);
    const auto limit = static_cast<size_t>(policy_.context_length);
    const size_t room =
        std::max(gold.size(), static_cast<size_t>(std::max(1, prompt.generation.max_new_tokens)));
    if (limit > 0 && out.generate_prompt.size() + room > limit) {
      throw_bad_input("prefix, suffix and answer take " +
                          std::to_string(out.generate_prompt.size() + room) +
                          " tokens, the model's context is " + std::to_string(limit),
                      run_.task.document(i).id);
    }
    if (!policy_.gold_answers || gold.empty()) return;
    DraftScore score;
    score.reference = {number_, static_cast<int32_t>(i), 0, Role::gold_answer, false,
                       static_cast<int32_t>(gold.size())};
    score.context = out.generate_prompt;
    score.continuation = std::move(gold);
    out.scores.push_back(std::move(score));
  }

  // Windows of task-specs 1.9: every token is scored exactly once; each further window's input ends
  // just before the tokens it scores and is as long as the window allows.
  void draft_rolling(size_t i, Draft& out) const {
    const engine::EncodedPair pair = encode_scored(
        tokenizer_, engine::ContextEncoder(tokenizer_, "", boundary_), true, out.prompt.context);
    std::vector<TokenId> all = pair.context_ids;
    const size_t prefix = all.size();  // begin token or stand-in
    out.literal_bos =
        engine::ContextEncoder(tokenizer_, out.prompt.context, boundary_).literal_bos();
    all.insert(all.end(), pair.continuation_ids.begin(), pair.continuation_ids.end());
    const int64_t asked = run_.task.max_len() > 0 ? run_.task.max_len() : policy_.context_length;
    const auto window = static_cast<size_t>(
        policy_.context_length > 0 ? std::min(asked, policy_.context_length) : asked);
    const size_t later = run_.task.stride() > 0
                             ? std::min(window, static_cast<size_t>(run_.task.stride()))
                             : window;
    const size_t n = pair.continuation_ids.size();
    for (size_t begin = 0, number = 0; begin < n; ++number) {
      const size_t end = std::min(n, begin + (begin == 0 ? window : later));
      // Input tokens all[first .. prefix+end-1), scored all[prefix+begin .. prefix+end).
      const size_t input_end = prefix + end - 1;
      const size_t first = begin == 0 ? 0 : input_end - std::min(input_end, window);
      DraftScore score;
      score.reference = {number_, static_cast<int32_t>(i), static_cast<int32_t>(number),
                         Role::window, false, static_cast<int32_t>(end - begin)};
      const auto at = [&](size_t k) { return all.begin() + static_cast<ptrdiff_t>(k); };
      score.context.assign(at(first), at(prefix + begin));
      score.continuation.assign(at(prefix + begin), at(prefix + end));
      out.scores.push_back(std::move(score));
      begin = end;
    }
  }

  const TaskRun& run_;
  const int number_;
  const engine::Tokenizer& tokenizer_;
  const WorkloadPolicy& policy_;
  const engine::BoundaryPolicy boundary_;
};

std::string gold_of(const tasks::Prompt& prompt) {
  if (!prompt.gold_options.empty()) {
    std::string out;
    for (const int option : prompt.gold_options) {
      out += (out.empty() ? "" : ",");
      out += static_cast<char>('A' + option);
    }
    return out;
  }
  std::string out;
  for (const std::string& text : prompt.gold_texts) out += (out.empty() ? "" : " | ") + text;
  return out;
}

results::ItemRecord item_record(const TaskRun& run, size_t i, const tasks::Prompt& prompt) {
  const datasets::Document& document = run.task.document(i);
  const tasks::ItemKey key = run.task.item_key(i);
  results::ItemRecord record;
  record.position = static_cast<int64_t>(i);
  record.document = {document.id, document.content_hash, key.group, key.cluster, gold_of(prompt)};
  record.context = prompt.contexts.empty() ? prompt.context : "";
  record.shots_used = prompt.shots_used;
  record.truncated = prompt.truncated;
  return record;
}

// Puts back what an earlier start of the run left behind.
void restore(const results::ItemState& state, tasks::RequestKind kind, Item& item) {
  for (const results::OptionRecord& option : state.options) {
    if (!option.logprob) continue;
    tasks::ContinuationScore score;
    score.logprob = *option.logprob;
    score.tokens = option.tokens;
    score.greedy = option.greedy;
    score.boundary_merge = option.boundary_merge;
    score.uncond_logprob = option.uncond_logprob;
    score.whole_loss = option.whole_loss;
    if (kind == tasks::RequestKind::generate) {
      item.outputs.gold_answer = score;
    } else if (kind == tasks::RequestKind::rolling) {
      if (!item.outputs.rolling) item.outputs.rolling.emplace();
      item.outputs.rolling->nll -= score.logprob;
      item.outputs.rolling->tokens += score.tokens;
    } else {
      item.outputs.options[static_cast<size_t>(option.option)] = score;
    }
  }
  for (const results::GenerationRecord& generation : state.generations) {
    tasks::Generation& out = item.outputs.generations[static_cast<size_t>(generation.sample)];
    out.text = generation.text;
    out.logprob = generation.logprob;
    out.finish = generation.finish == "stop"  ? tasks::Finish::stop
                 : generation.finish == "eos" ? tasks::Finish::eos
                                              : tasks::Finish::length;
  }
}

bool is_stored(const results::ItemState* state, const ScoreReference& reference) {
  if (!state) return false;
  for (const results::OptionRecord& option : state->options) {
    if (option.option != reference.option) continue;
    return reference.role == Role::uncond  ? option.uncond_logprob.has_value()
           : reference.role == Role::whole ? option.whole_loss.has_value()
                                           : option.logprob.has_value();
  }
  return false;
}

}  // namespace

WorkloadPolicy workload_policy(const EvaluationOptions& options, int64_t context_length) {
  return {.boundary = options.boundary,
          .context_length = context_length,
          .gold_answers = options.gold_answers,
          .token_healing = options.token_healing,
          .seed = options.seed};
}

void add_requests(TaskRun& run, int number, const engine::Tokenizer& tokenizer,
                  const WorkloadPolicy& policy, const Workers& workers,
                  const std::vector<results::ItemState>& states,
                  const std::function<void(std::vector<results::ItemRecord>)>& keep,
                  Workload& work) {
  std::map<int64_t, const results::ItemState*> by_position;
  for (const auto& state : states) by_position[state.position] = &state;
  const Drafter drafter(run, number, tokenizer, policy);
  run.items.resize(run.task.size());

  // Rendering and tokenising run in parallel, a slice of documents at a time to bound memory.
  constexpr size_t kSlice = 4096;
  for (size_t begin = 0; begin < run.task.size(); begin += kSlice) {
    const size_t count = std::min(kSlice, run.task.size() - begin);
    std::vector<Draft> drafts(count);
    workers.for_ranges(static_cast<int64_t>(count), 16, [&](int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k) {
        drafts[static_cast<size_t>(k)] = drafter.draft(begin + static_cast<size_t>(k));
      }
    });
    std::vector<results::ItemRecord> fresh;
    for (size_t k = 0; k < count; ++k) {
      const size_t i = begin + k;
      Draft& draft = drafts[k];
      Item& item = run.items[i];
      const auto found = by_position.find(static_cast<int64_t>(i));
      const results::ItemState* state = found == by_position.end() ? nullptr : found->second;
      if (!state && keep) fresh.push_back(item_record(run, i, draft.prompt));

      const bool generates = draft.prompt.kind == tasks::RequestKind::generate;
      if (generates) {
        item.outputs.generations.resize(static_cast<size_t>(draft.prompt.generation.samples));
        const auto& gold = draft.prompt.gold_answer;
        item.options.push_back({gold.continuation, gold.bytes, gold.code_points});
      } else if (draft.prompt.kind == tasks::RequestKind::rolling) {
        const auto bytes = static_cast<int64_t>(draft.prompt.context.size());
        item.options.resize(draft.scores.size(), {"", bytes, 0});
        item.outputs.rolling.emplace();
      } else {
        item.outputs.options.resize(draft.prompt.options.size());
        for (const auto& option : draft.prompt.options) {
          item.options.push_back({option.continuation, option.bytes, option.code_points});
        }
      }
      item.literal_bos = draft.literal_bos;
      run.literal_bos |= draft.literal_bos;
      item.shots_dropped = draft.prompt.shots_used < draft.prompt.shots_asked;
      item.graded = state && state->graded;
      if (state) restore(*state, draft.prompt.kind, item);

      const std::vector<TokenId>* last_context = nullptr;
      for (DraftScore& score : draft.scores) {
        // Options of one context share its tokens; identical prefixes cost nothing either way.
        if (!last_context || *last_context != score.context) {
          last_context = &work.tokens.emplace_back(std::move(score.context));
        }
        const auto& continuation = work.tokens.emplace_back(std::move(score.continuation));
        engine::ScoreRequest request;
        request.context = *last_context;
        request.continuation = continuation;
        request.name = run.task.document(i).id;
        request.group = number;
        request.finished = item.graded || is_stored(state, score.reference);
        if (!request.finished) ++item.pending;
        run.tokens_asked += last_context->size() + continuation.size();
        ++run.requests;
        work.score.push_back(request);
        work.score_references.push_back(score.reference);
      }
      if (generates) {
        const auto& tokens = work.tokens.emplace_back(std::move(draft.generate_prompt));
        const tasks::GenerationRule& rule = draft.prompt.generation;
        for (int sample = 0; sample < rule.samples; ++sample) {
          engine::GenerateRequest request;
          request.prompt = tokens;
          request.name = run.task.document(i).id;
          request.stop = rule.stop;
          request.max_tokens = rule.max_new_tokens + draft.healed_tokens;
          request.required = draft.required;
          request.sampling.temperature = rule.temperature;
          request.sampling.top_p = rule.top_p;
          request.sampling.seed = policy.seed;
          request.sampling.stream = i * static_cast<size_t>(rule.samples) + static_cast<size_t>(sample);
          request.group = number;
          request.finished = item.graded;
          if (state) {
            for (const auto& g : state->generations) request.finished |= g.sample == sample;
          }
          if (!request.finished) ++item.pending;
          run.tokens_asked += tokens.size();
          ++run.requests;
          work.generate.push_back(std::move(request));
          work.generate_references.push_back({number, static_cast<int32_t>(i), sample});
        }
      }
      run.resumed |= state != nullptr;
    }
    if (keep) keep(std::move(fresh));
  }
}

void restore_outputs(TaskRun& run, const std::vector<results::ItemState>& states, bool verdicts) {
  const tasks::Task& task = run.task;
  if (states.size() != task.size()) {
    throw_bad_input(std::to_string(states.size()) + " documents are stored, the data have " +
                        std::to_string(task.size()),
                    task.name() + "@" + task.variant(), "--data must name the files of the run");
  }
  run.items.resize(states.size());
  for (size_t i = 0; i < states.size(); ++i) {
    const results::ItemState& state = states[i];
    const datasets::Document& document = task.document(i);
    if (state.item_id != document.id || state.content_hash != document.content_hash) {
      throw_bad_input("the run was asked " + state.item_id + ", the data have " + document.id +
                          (state.item_id == document.id ? " with other content" : " in its place"),
                      task.name() + "@" + task.variant(), "--data must name the files of the run");
    }
    Item& item = run.items[i];
    if (task.kind() == tasks::RequestKind::generate) {
      item.outputs.generations.resize(state.generations.size());
    } else if (task.kind() == tasks::RequestKind::rolling) {
      item.outputs.rolling.emplace();
    } else {
      item.outputs.options.resize(state.options.size());
    }
    restore(state, task.kind(), item);
    item.graded = state.graded;
    if (!verdicts || state.executions.empty()) continue;
    for (const results::ExecutionRecord& execution : state.executions) {
      const std::optional<tasks::Verdict> verdict = tasks::find_verdict(execution.verdict);
      item.outputs.executions.push_back(
          {verdict.value_or(tasks::Verdict::sandbox_error), execution.reason});
    }
    item.verdicts_kept = true;
  }
}

}  // namespace assay::harness
