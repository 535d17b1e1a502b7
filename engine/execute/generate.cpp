#include "engine/execute/generate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

#include "base/error.h"
#include "engine/execute/admission.h"
#include "engine/execute/chooser.h"
#include "engine/execute/drafting.h"
#include "engine/execute/expert_load.h"
#include "engine/execute/generation_rows.h"
#include "engine/execute/memory_plan.h"
#include "engine/execute/prefill.h"
#include "engine/execute/request_name.h"
#include "engine/execute/runner.h"
#include "engine/execute/sequence.h"

namespace assay::engine {

namespace {

constexpr double kCommitSeconds = 0.25;
constexpr size_t kDraftedSequences = 8;

class GenerateRun {
 public:
  GenerateRun(Runner& runner, const Tokenizer* tokenizer, std::span<const GenerateRequest> requests,
              const GenerateLimits& limits, bool expert_load, bool speculate, GenerateSink& sink,
              EngineStatistics& statistics)
      : runner_(runner),
        ranks_(runner.ranks()),
        tokenizer_(tokenizer),
        requests_(requests),
        limits_(limits),
        sink_(sink),
        statistics_(statistics),
        load_(runner.config()),
        expert_load_(expert_load && load_.enabled()),
        items_(plan_generation(requests, runner.config(), expert_load_)),
        admission_(requests, items_, runner.config(), limits,
                   [this](int32_t slot) { if (drafting_) drafting_->forget(slot); }),
        chooser_(runner, tokenizer) {
    if (tokenizer_) eos_ = tokenizer_->eos();
    if (speculate) drafting_.emplace(runner);
  }

  void run(const MemoryPlan* budget) {
    int64_t needed = 0, prompt_rows = 0;
    for (const WorkItem& item : items_) {
      const GenerateRequest& request = requests_[item.request];
      const auto prompt = static_cast<int64_t>(request.prompt.size());
      const int64_t limit = generation_limit(request, runner_.config());
      if (prompt + limit > limits_.kv_slots) {
        throw_resource("keys and values of " + std::to_string(prompt + limit) +
                           " tokens exceed the memory budget, which has room for " +
                           std::to_string(limits_.kv_slots),
                       request_name(request.name, item.request),
                       "give a larger --memory or a smaller token limit");
      }
      needed += prompt - item.shared + limit;
      prompt_rows += prompt - item.shared;
      progress_.tokens_planned += static_cast<uint64_t>(prompt - item.shared + limit);
      progress_.requests += 1 + item.identical.size();
      statistics_.tokens_asked += static_cast<uint64_t>(prompt) * (1 + item.identical.size());
    }
    if (budget != nullptr) {
      const ModelConfig& config = runner_.config();
      const GenerationMemory bytes =
          generation_memory(*budget, config, prompt_rows, needed, longest_prompt(requests_));
      check_budget(*budget, config, bytes.kv + bytes.pass);
    }
    progress_.stage = "generate";
    pool_ = runner_.make_pool(std::min(limits_.kv_slots, needed),
                              drafting_ ? drafting_->pool_layers() : 0);
    if (drafting_) drafting_->resize(pool_);
    prompt_rows_.resize(pool_.slots());
    while (admission_.waiting() || !active_.empty()) {
      if (ranks_.decide(sink_.cancelled())) return accompany(PassKind::none);
      admit();
      if (drafting_) draft();
      decode();
      if (ranks_.decide(seconds_since(committed_) > kCommitSeconds)) commit();
    }
    if (!items_.empty()) commit();
    accompany(PassKind::none);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point t) {
    return std::chrono::duration<double>(Clock::now() - t).count();
  }

  // Takes part in other ranks' passes until one of kind `wanted` is next, or none.
  void accompany(PassKind wanted) {
    for (;;) {
      const PassKind next = ranks_.next_pass(wanted);
      if (next == wanted) return;
      if (next == PassKind::draft) {
        drafting_->run_idle();
      } else {
        runner_.run_idle();
      }
    }
  }

  // Admits what memory allows, computes its prompts and first tokens.
  void admit() {
    for (const auto& pass : cut_into_passes(admission_.admit(active_), limits_.pass_tokens)) {
      prefill(pass);
    }
    collect();
  }

  // Computes rows of prompts. Where memory runs out, each half of them on its own, with equal bits;
  // layers before `first_counted` have counted their experts then.
  void prefill(std::span<const Chunk> chunks, int first_counted = 0) {
    prompt_rows_.lay_out(chunks, expert_load_, rows_);
    if (compute(model::Form::expanded, first_counted)) {
      take_choices();
      return;
    }
    const int counted = std::max(first_counted, layers_done_);
    for (const auto& half : halves(chunks)) prefill(half, counted);
  }

  // Feeds every active sequence's last token, with its draft behind it.
  void decode() {
    decode(active_, 0);
    collect();
  }
  // As prefill() does where memory runs out.
  void decode(std::span<const std::unique_ptr<Sequence>> sequences, int first_counted) {
    if (sequences.empty()) return;
    rows_.clear();
    for (const auto& sequence : sequences) {
      const auto row = static_cast<int32_t>(rows_.ids.size());
      const int64_t position = sequence->prompt_size() + static_cast<int64_t>(sequence->tokens.size()) - 1;
      // A draft helps unless only one more token may come.
      const bool drafted = sequence->draft &&
                           static_cast<int64_t>(sequence->tokens.size()) + 1 < sequence->limit;
      const int count = drafted ? 2 : 1;
      admission_.extend(*sequence, position + count);
      for (int i = 0; i < count; ++i) {
        rows_.ids.push_back(i == 0 ? sequence->tokens.back() : *sequence->draft);
        rows_.positions.push_back(static_cast<int32_t>(position + i));
        rows_.store.push_back(sequence->slots[static_cast<size_t>(position + i)]);
        rows_.next.push_back(row + i);
        rows_.advancing.push_back(sequence.get());
      }
      rows_.segments.push_back({row, count, position, sequence->slots.data()});
      if (expert_load_) count_generated(*sequence, static_cast<uint32_t>(row), rows_.pieces);
    }
    if (compute(model::Form::absorbed, first_counted)) {
      take_choices();
      if (drafting_) count_accepted();
      return;
    }
    const int counted = std::max(first_counted, layers_done_);
    const size_t half = sequences.size() / 2;
    decode(sequences.first(half), counted);
    decode(sequences.subspan(half), counted);
  }

  // The pass and what follows every row of rows_ (where this rank has results). False where
  // memory ran out: nothing has happened then but layers_done_ layers counting their experts.
  bool compute(model::Form form, int first_counted) {
    try {
      Runner::Step step(runner_, form == model::Form::absorbed, static_cast<int>(runner_.config().layers));
      const ops::Rows hidden = run(form, first_counted);
      if (drafting_) drafting_->keep_states(hidden, rows_);
      if (ranks_.last()) chooser_.look(hidden, rows_.next, rows_.advancing);
      step.finish();
    } catch (const ops::OutOfMemory&) {
      if (rows_.count() == 1) throw;
      if (form == model::Form::absorbed && rows_.segments.size() == 1) throw;  // a draft's
      if (!ranks_.alone()) throw;
      runner_.trim();
      return false;
    }
    statistics_.tokens_computed += rows_.ids.size();
    progress_.tokens_done += rows_.ids.size();
    return true;
  }

  // Guesses what follows the newest token of every sequence. Only once few sequences are left: then a
  // step's time is that of reading weights, and rows of drafts cost little; with many, every row costs.
  // A step without drafts where there is no memory for them.
  void draft() {
    for (const auto& sequence : active_) sequence->draft.reset();
    if (admission_.waiting() || active_.size() > kDraftedSequences) return;
    try {
      drafting_->draft(active_, admission_, limits_.pass_tokens, pool_, rows_,
                       [this] { accompany(PassKind::draft); });
    } catch (const ops::OutOfMemory&) {
      if (!ranks_.alone()) throw;
      for (const auto& sequence : active_) sequence->draft.reset();
      runner_.trim();
    }
  }

  // A generated position counts once for every group among the identical requests.
  void count_generated(const Sequence& sequence, uint32_t row, std::vector<LoadPiece>& pieces) {
    const WorkItem& item = *sequence.item;
    pieces.push_back({row, 1, sequence.request->group, item.request, true});
    for (size_t i = 0; i < item.identical.size(); ++i) {
      const int group = requests_[item.identical[i]].group;
      bool seen = group == sequence.request->group;
      for (size_t j = 0; j < i; ++j) seen |= requests_[item.identical[j]].group == group;
      if (!seen) pieces.push_back({row, 1, group, item.identical[i], true});
    }
  }

  // The rows of accepted drafts count too; whether one is accepted shows after the pass.
  void count_accepted() {
    if (!expert_load_ || accepted_.empty()) return;
    for (const auto& [layer, routing] : draft_routing_) load_.add(accepted_, layer, routing);
  }

  ops::Rows run(model::Form form, int first_counted) {
    accepted_.clear();
    draft_routing_.clear();
    layers_done_ = 0;
    const bool drafts = drafting_ && form == model::Form::absorbed;
    accompany(PassKind::layers);
    return runner_.run(rows_.ids, rows_.input(form), pool_,
                       [this, first_counted, drafts](int layer, const ops::Routing* routing) {
      layers_done_ = layer + 1;
      if (!expert_load_ || !routing) return;
      if (layer >= first_counted) load_.add(rows_.pieces, layer, *routing);
      if (drafts) draft_routing_.push_back({layer, *routing});
    });
  }

  // Takes the choices, in the order of the rows. Where this rank has none, those of the one that has.
  void take_choices() {
    if (rows_.next.empty()) return;
    if (!ranks_.last()) {
      chooser_.expect(rows_.next, rows_.advancing);
      ranks_.share(std::as_writable_bytes(chooser_.choices()));
    }
    for (size_t i = 0; i < rows_.next.size(); ++i) {
      Sequence& sequence = *rows_.advancing[i];
      if (chooser_.behind_draft(i)) {
        // The row of a draft: it counts if the draft is what was chosen.
        ++statistics_.drafted;
        if (sequence.finish || sequence.tokens.back() != *sequence.draft) continue;
        ++statistics_.accepted;
        if (expert_load_) count_generated(sequence, static_cast<uint32_t>(rows_.next[i]), accepted_);
      }
      take(chooser_.choice(i), sequence);
    }
    if (ranks_.last()) ranks_.share(std::as_writable_bytes(chooser_.choices()));
  }

  void take(const ops::Choice& choice, Sequence& sequence) {
    if (!std::isfinite(choice.logprob)) {
      runner_.throw_overflow("the head computes log-probabilities");
    }
    ++statistics_.tokens_generated;
    if (sequence.request->stop_at_eos &&
        std::find(eos_.begin(), eos_.end(), choice.token) != eos_.end()) {
      sequence.finish = FinishReason::eos;
      return;
    }
    sequence.tokens.push_back(choice.token);
    sequence.logprobs.push_back(choice.logprob);
    if (tokenizer_ && !tokenizer_->is_special(choice.token)) {
      std::string_view bytes = tokenizer_->token_bytes(choice.token);
      const size_t healed = std::min(sequence.required.size(), bytes.size());
      sequence.required.remove_prefix(healed);
      bytes.remove_prefix(healed);
      if (const auto cut = sequence.stop.append(bytes)) {
        sequence.text_end = *cut;
        sequence.finish = FinishReason::stop;
        return;
      }
    }
    if (static_cast<int64_t>(sequence.tokens.size()) == sequence.limit) {
      sequence.finish = FinishReason::length;
    }
  }

  // Hands over finished sequences and frees their memory.
  void collect() {
    for (const auto& sequence : active_) {
      if (!sequence->finish) continue;
      GenerateResult result;
      result.index = sequence->item->request;
      result.tokens = std::move(sequence->tokens);
      result.text = lossy_utf8(std::string_view(sequence->stop.text()).substr(0, sequence->text_end));
      result.finish = *sequence->finish;
      result.token_logprobs = std::move(sequence->logprobs);
      for (const float logprob : result.token_logprobs) result.logprob += static_cast<double>(logprob);
      progress_.tokens_planned -= static_cast<uint64_t>(sequence->limit - sequence->text_slots());
      admission_.release(*sequence);
      for (const uint32_t same : sequence->item->identical) {
        GenerateResult copy = result;
        copy.index = same;
        answer(std::move(copy));
      }
      answer(std::move(result));
    }
    std::erase_if(active_, [](const auto& sequence) { return sequence->finish.has_value(); });
  }

  void answer(GenerateResult&& result) {
    const auto index = static_cast<uint32_t>(result.index);
    if (expert_load_) load_.release(index, requests_[index].group);
    ++progress_.requests_done;
    if (ranks_.last()) sink_.on_generate(std::move(result));
  }

  void commit() {
    if (expert_load_) load_.report(sink_);
    sink_.on_commit();
    committed_ = Clock::now();
    progress_.seconds = seconds_since(start_);
    sink_.on_progress(progress_);
  }

  Runner& runner_;
  Ranks& ranks_;
  const Tokenizer* tokenizer_;
  std::span<const GenerateRequest> requests_;
  const GenerateLimits limits_;
  GenerateSink& sink_;
  EngineStatistics& statistics_;
  LoadCounter load_;
  const bool expert_load_;
  const std::vector<WorkItem> items_;
  std::vector<TokenId> eos_;

  Admission admission_;
  model::KvPool pool_;
  std::vector<std::unique_ptr<Sequence>> active_;

  Chooser chooser_;
  std::optional<Drafting> drafting_;
  std::vector<LoadPiece> accepted_;  // rows of accepted drafts
  std::vector<std::pair<int, ops::Routing>> draft_routing_;

  PromptRows prompt_rows_;
  GenerationRows rows_;  // of the current pass
  int layers_done_ = 0;

  EngineProgress progress_;
  Clock::time_point start_ = Clock::now(), committed_ = start_;
};

}  // namespace

void run_generate(Runner& runner, const Tokenizer* tokenizer,
                  std::span<const GenerateRequest> requests, const GenerateLimits& limits,
                  bool expert_load, bool speculate, GenerateSink& sink,
                  EngineStatistics& statistics, const MemoryPlan* budget) {
  check_requests(requests, runner.config());
  for (size_t i = 0; i < requests.size() && !tokenizer; ++i) {
    if (!requests[i].stop.empty()) {
      throw_bad_input("stop strings need a tokenizer", request_name(requests[i].name, i));
    }
    if (!requests[i].required.empty()) {
      throw_bad_input("token healing needs a tokenizer", request_name(requests[i].name, i));
    }
  }
  GenerateRun(runner, tokenizer, requests, limits, expert_load, speculate, sink, statistics).run(budget);
}

}  // namespace assay::engine
