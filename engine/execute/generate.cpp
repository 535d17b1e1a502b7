#include "engine/execute/generate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "engine/execute/chooser.h"
#include "engine/execute/drafter.h"
#include "engine/execute/expert_load.h"
#include "engine/execute/request_name.h"
#include "engine/execute/runner.h"
#include "engine/execute/sequence.h"
#include "engine/execute/slots.h"

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
        drafts_(speculate),
        items_(plan_generation(requests, runner.config(), expert_load_)),
        slots_(limits.kv_slots),
        chooser_(runner, tokenizer),
        states_(runner.backend()),
        entry_states_(runner.backend()) {
    if (tokenizer_) eos_ = tokenizer_->eos();
    if (drafts_ && ranks_.last()) drafter_ = std::make_unique<Drafter>(runner);
  }

  void run() {
    int64_t needed = 0;
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
      progress_.tokens_planned += static_cast<uint64_t>(prompt - item.shared + limit);
      progress_.requests += 1 + item.identical.size();
      statistics_.tokens_asked += static_cast<uint64_t>(prompt) * (1 + item.identical.size());
    }
    progress_.stage = "generate";
    pool_ = runner_.make_pool(std::min(limits_.kv_slots, needed), drafter_ ? 1 : 0);
    if (drafts_) has_entry_.resize(static_cast<size_t>(pool_.slots()));
    if (drafter_) states_.ensure(pool_.slots() * runner_.config().hidden);
    row_of_slot_.resize(static_cast<size_t>(pool_.slots()));
    while (next_ < items_.size() || !active_.empty()) {
      if (ranks_.decide(sink_.cancelled())) return accompany(PassKind::none);
      admit();
      if (drafts_) try_draft();
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
        drafter_->run_idle();
      } else {
        runner_.run_idle();
      }
    }
  }

  // Moves work items to active_ as memory allows, computes their prompts and first tokens.
  void admit() {
    std::vector<Chunk> chunks;
    int64_t rows = 0;
    while (next_ < items_.size() && rows < limits_.pass_tokens &&
           static_cast<int64_t>(active_.size()) < limits_.sequences) {
      const WorkItem& item = items_[next_];
      const GenerateRequest& request = requests_[item.request];
      const auto prompt = static_cast<int64_t>(request.prompt.size());
      const int64_t limit = generation_limit(request, runner_.config());
      // Of the last admitted prompt, only what this one shares is still needed.
      while (frontier_.size() > item.shared) {
        slots_.release(frontier_.back());
        frontier_.pop_back();
      }
      if (slots_.available() - reserved_ < prompt - item.shared + limit) break;
      auto sequence = std::make_unique<Sequence>(item, request, limit);
      sequence->slots.reserve(static_cast<size_t>(prompt + limit));
      for (const int32_t slot : frontier_) {
        slots_.share(slot);
        sequence->slots.push_back(slot);
      }
      while (static_cast<int64_t>(frontier_.size()) < prompt) {
        const int32_t slot = take_slot();
        slots_.share(slot);
        frontier_.push_back(slot);
        sequence->slots.push_back(slot);
      }
      reserved_ += limit;
      // The last position is needed for the first token even where the whole prompt is shared.
      const int64_t begin = std::min<int64_t>(item.shared, prompt - 1);
      chunks.push_back({sequence.get(), begin, prompt});
      rows += prompt - begin;
      active_.push_back(std::move(sequence));
      ++next_;
    }
    // Passes of at most pass_tokens rows; a long prompt may take several.
    std::vector<Chunk> pass;
    int64_t left = limits_.pass_tokens;
    for (Chunk chunk : chunks) {
      while (chunk.begin < chunk.end) {
        const int64_t take = std::min(left, chunk.end - chunk.begin);
        pass.push_back({chunk.sequence, chunk.begin, chunk.begin + take});
        chunk.begin += take;
        left -= take;
        if (left > 0) continue;
        prefill(pass);
        pass.clear();
        left = limits_.pass_tokens;
      }
    }
    if (!pass.empty()) prefill(pass);
    collect();
  }

  // Computes rows of prompts. Where memory runs out, each half of them on its own, with equal bits;
  // layers before `first_counted` have counted their experts then.
  void prefill(std::span<const Chunk> chunks, int first_counted = 0) {
    ids_.clear();
    positions_.clear();
    store_.clear();
    pieces_.clear();
    segments_.clear();
    ancestors_.clear();
    ++stamp_;
    for (const Chunk& chunk : chunks) {
      const Sequence& sequence = *chunk.sequence;
      const auto row = static_cast<int32_t>(ids_.size());
      for (int64_t p = chunk.begin; p < chunk.end; ++p) {
        const bool own = p >= sequence.item->shared;
        const int32_t slot = sequence.slots[static_cast<size_t>(p)];
        if (own) row_of_slot_[static_cast<size_t>(slot)] = {stamp_, static_cast<int32_t>(ids_.size())};
        ids_.push_back(sequence.request->prompt[static_cast<size_t>(p)]);
        positions_.push_back(static_cast<int32_t>(p));
        store_.push_back(own ? slot : -1);
      }
      segments_.push_back({row, chunk.end - chunk.begin, chunk.begin, nullptr});
      if (!expert_load_) continue;
      for (const PromptLoad& load : sequence.item->load) {
        const int64_t begin = std::max<int64_t>(load.position, chunk.begin);
        const int64_t end = std::min<int64_t>(load.position + load.count, chunk.end);
        if (begin >= end) continue;
        pieces_.push_back({static_cast<uint32_t>(row + begin - chunk.begin),
                           static_cast<uint32_t>(end - begin), load.group, load.owner, true});
      }
    }
    // Positions of earlier passes are ancestors, numbered below the rows.
    const auto place = [&](int32_t slot) -> RowOfSlot& { return row_of_slot_[static_cast<size_t>(slot)]; };
    for (const Chunk& chunk : chunks) {
      for (int64_t p = 0; p < chunk.end; ++p) {
        const int32_t slot = chunk.sequence->slots[static_cast<size_t>(p)];
        if (place(slot).stamp == stamp_) continue;
        place(slot) = {stamp_, -1 - static_cast<int32_t>(ancestors_.size())};
        ancestors_.push_back(slot);
      }
    }
    slot_lists_.clear();
    const auto known = static_cast<int32_t>(ancestors_.size());
    for (const Chunk& chunk : chunks) {
      for (int64_t p = 0; p < chunk.end; ++p) {
        const int32_t row = place(chunk.sequence->slots[static_cast<size_t>(p)]).row;
        slot_lists_.push_back(row < 0 ? -1 - row : known + row);
      }
    }
    const int32_t* list = slot_lists_.data();
    for (size_t i = 0; i < chunks.size(); ++i) {
      segments_[i].slots = list;
      list += chunks[i].end;
    }
    rows_.clear();
    advancing_.clear();
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (chunks[i].end != static_cast<int64_t>(chunks[i].sequence->request->prompt.size())) continue;
      rows_.push_back(static_cast<int32_t>(segments_[i].row + segments_[i].count - 1));
      advancing_.push_back(chunks[i].sequence);
    }
    const auto rows = static_cast<int64_t>(ids_.size());
    if (compute({positions_, segments_, ancestors_, store_, model::Form::expanded}, first_counted)) {
      take_choices();
      return;
    }
    const int counted = std::max(first_counted, layers_done_);
    std::vector<Chunk> halves[2];
    int64_t left = rows / 2;
    for (const Chunk& chunk : chunks) {
      const int64_t middle = std::min(chunk.end, chunk.begin + left);
      left -= middle - chunk.begin;
      if (middle > chunk.begin) halves[0].push_back({chunk.sequence, chunk.begin, middle});
      if (chunk.end > middle) halves[1].push_back({chunk.sequence, middle, chunk.end});
    }
    for (const auto& half : halves) prefill(half, counted);
  }

  // Feeds every active sequence's last token, with its draft behind it.
  void decode() {
    decode(active_, 0);
    collect();
  }
  // As prefill() does where memory runs out.
  void decode(std::span<const std::unique_ptr<Sequence>> sequences, int first_counted) {
    if (sequences.empty()) return;
    ids_.clear();
    positions_.clear();
    store_.clear();
    pieces_.clear();
    segments_.clear();
    rows_.clear();
    advancing_.clear();
    for (const auto& sequence : sequences) {
      const auto row = static_cast<int32_t>(ids_.size());
      const int64_t position = sequence->prompt_size() + static_cast<int64_t>(sequence->tokens.size()) - 1;
      // A draft helps unless only one more token may come.
      const bool drafted = sequence->draft &&
                           static_cast<int64_t>(sequence->tokens.size()) + 1 < sequence->limit;
      const int count = drafted ? 2 : 1;
      extend_slots(*sequence, position + count);
      for (int i = 0; i < count; ++i) {
        ids_.push_back(i == 0 ? sequence->tokens.back() : *sequence->draft);
        positions_.push_back(static_cast<int32_t>(position + i));
        store_.push_back(sequence->slots[static_cast<size_t>(position + i)]);
        rows_.push_back(row + i);
        advancing_.push_back(sequence.get());
      }
      segments_.push_back({row, count, position, sequence->slots.data()});
      if (expert_load_) count_generated(*sequence, static_cast<uint32_t>(row), pieces_);
    }
    if (compute({positions_, segments_, {}, store_, model::Form::absorbed}, first_counted)) {
      take_choices();
      if (drafts_) count_accepted();
      return;
    }
    const int counted = std::max(first_counted, layers_done_);
    const size_t half = sequences.size() / 2;
    decode(sequences.first(half), counted);
    decode(sequences.subspan(half), counted);
  }

  // The pass and what follows every row of rows_ (where this rank has results). False where
  // memory ran out: nothing has happened then but layers_done_ layers counting their experts.
  bool compute(const model::PassInput& input, int first_counted) {
    try {
      const ops::Rows hidden = run(input, first_counted);
      keep_states(hidden);
      if (ranks_.last()) chooser_.look(hidden, rows_, advancing_);
    } catch (const ops::OutOfMemory&) {
      if (input.segments.size() == 1 && input.segments[0].count == 1) throw;
      if (input.form == model::Form::absorbed && input.segments.size() == 1) throw;  // a draft's
      if (!ranks_.alone()) throw;
      runner_.trim();
      return false;
    }
    statistics_.tokens_computed += ids_.size();
    progress_.tokens_done += ids_.size();
    return true;
  }

  // Takes the slots reserved for positions below `end`.
  void extend_slots(Sequence& sequence, int64_t end) {
    while (static_cast<int64_t>(sequence.slots.size()) < end) {
      sequence.slots.push_back(take_slot());
      --reserved_;
    }
  }
  int32_t take_slot() {
    const int32_t slot = slots_.take();
    if (drafts_) has_entry_[static_cast<size_t>(slot)] = 0;
    return slot;
  }

  // Drafting: the normed hidden state of every row of the pass, by slot.
  void keep_states(ops::ConstRows hidden) {
    if (!drafter_) return;
    all_rows_.resize(ids_.size());
    for (size_t i = 0; i < all_rows_.size(); ++i) all_rows_[i] = static_cast<int32_t>(i);
    const ops::Rows normed = runner_.final_norm(hidden, all_rows_);
    model::scatter(runner_.backend(), normed, store_, states());
  }
  ops::Rows states() {
    const int64_t width = runner_.config().hidden;
    return {states_.data(), pool_.slots(), width, width};
  }

  // Guesses what follows the newest token of every sequence, after making the MTP entries of its path
  // that are not there yet. Only once few sequences are left: then a step's time is that of reading
  // weights, and rows of drafts cost little; with many, every row costs.
  void draft() {
    for (const auto& sequence : active_) sequence->draft.reset();
    if (next_ < items_.size() || active_.size() > kDraftedSequences) return;
    ids_.clear();
    positions_.clear();
    store_.clear();
    segments_.clear();
    rows_.clear();
    advancing_.clear();
    new_entries_.clear();
    for (const auto& sequence : active_) {
      // The newest token's entry needs the state of the token before, which has been fed.
      const int64_t last = sequence->prompt_size() + static_cast<int64_t>(sequence->tokens.size()) - 1;
      extend_slots(*sequence, last + 1);
      // Entries are made along paths, so those of a path are its first ones.
      int64_t first = std::max<int64_t>(1, sequence->entries + 1);
      while (first <= last && has_entry_[static_cast<size_t>(sequence->slots[static_cast<size_t>(first)])]) {
        ++first;
      }
      const auto row = static_cast<int64_t>(ids_.size());
      // What does not fit a pass is made at the next steps.
      const int64_t end = std::min(last + 1, first + limits_.pass_tokens - row);
      if (first >= end) continue;
      for (int64_t j = first; j < end; ++j) {
        ids_.push_back(sequence->token(j));
        positions_.push_back(static_cast<int32_t>(j - 1));
        store_.push_back(sequence->slots[static_cast<size_t>(j)]);
      }
      segments_.push_back({row, end - first, first - 1, sequence->slots.data() + 1});
      new_entries_.push_back({sequence.get(), end - 1});
      if (end <= last) continue;
      rows_.push_back(static_cast<int32_t>(ids_.size()) - 1);
      advancing_.push_back(sequence.get());
    }
    if (ids_.empty()) return;
    guesses_.resize(rows_.size());
    if (drafter_) make_drafts();
    for (const int32_t slot : store_) has_entry_[static_cast<size_t>(slot)] = 1;
    for (const auto& [sequence, entries] : new_entries_) sequence->entries = entries;
    if (rows_.empty()) return;
    ranks_.share(std::as_writable_bytes(std::span(guesses_)));
    for (size_t i = 0; i < rows_.size(); ++i) advancing_[i]->draft = guesses_[i];
  }

  // Entries of the rows at hand, and guesses_ from rows_.
  void make_drafts() {
    const ops::Rows before = model::matrix(entry_states_, static_cast<int64_t>(ids_.size()),
                                           runner_.config().hidden);
    entry_slots_.clear();
    for (const ops::Segment& segment : segments_) {
      for (int64_t i = 0; i < segment.count; ++i) {
        // slots[p] is that of position p + 1, whose state's predecessor is slots[p - 1].
        entry_slots_.push_back(segment.slots[segment.position + i - 1]);
      }
    }
    model::gather(runner_.backend(), states(), entry_slots_, before);
    accompany(PassKind::draft);
    const ops::Rows output = drafter_->run(
        ids_, before, {positions_, segments_, {}, store_, model::Form::absorbed}, pool_);
    if (!rows_.empty()) std::ranges::copy(drafter_->guess(output, rows_), guesses_.begin());
  }
  // A step without drafts where there is no memory for them.
  void try_draft() {
    try {
      draft();
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

  ops::Rows run(const model::PassInput& input, int first_counted) {
    accepted_.clear();
    draft_routing_.clear();
    layers_done_ = 0;
    const bool drafts = drafts_ && input.form == model::Form::absorbed;
    accompany(PassKind::layers);
    return runner_.run(ids_, input, pool_, [&](int layer, const ops::Routing* routing) {
      layers_done_ = layer + 1;
      if (!expert_load_ || !routing) return;
      if (layer >= first_counted) load_.add(pieces_, layer, *routing);
      if (drafts) draft_routing_.push_back({layer, *routing});
    });
  }

  // Takes the choices, in the order of rows_. Where this rank has none, those of the one that has.
  void take_choices() {
    if (rows_.empty()) return;
    if (!ranks_.last()) {
      chooser_.expect(rows_, advancing_);
      ranks_.share(std::as_writable_bytes(chooser_.choices()));
    }
    for (size_t i = 0; i < rows_.size(); ++i) {
      Sequence& sequence = *advancing_[i];
      if (chooser_.behind_draft(i)) {
        // The row of a draft: it counts if the draft is what was chosen.
        ++statistics_.drafted;
        if (sequence.finish || sequence.tokens.back() != *sequence.draft) continue;
        ++statistics_.accepted;
        if (expert_load_) count_generated(sequence, static_cast<uint32_t>(rows_[i]), accepted_);
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
      const auto fed = static_cast<int64_t>(sequence->slots.size() - sequence->request->prompt.size());
      progress_.tokens_planned -= static_cast<uint64_t>(sequence->limit - fed);
      reserved_ -= sequence->limit - fed;
      for (const int32_t slot : sequence->slots) slots_.release(slot);
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

  struct RowOfSlot {
    uint64_t stamp = 0;
    int32_t row = 0;  // of the pass, or -1 - index of the ancestor
  };

  Runner& runner_;
  Ranks& ranks_;
  const Tokenizer* tokenizer_;
  std::span<const GenerateRequest> requests_;
  const GenerateLimits limits_;
  GenerateSink& sink_;
  EngineStatistics& statistics_;
  LoadCounter load_;
  const bool expert_load_, drafts_;
  const std::vector<WorkItem> items_;
  size_t next_ = 0;
  std::vector<TokenId> eos_;

  Slots slots_;
  int64_t reserved_ = 0;  // slots that active sequences may still take
  model::KvPool pool_;
  std::vector<int32_t> frontier_;  // slots of the last admitted prompt
  std::vector<std::unique_ptr<Sequence>> active_;

  Chooser chooser_;
  std::unique_ptr<Drafter> drafter_;  // where this rank has the results
  model::Buffer<float> states_;  // by slot: normed hidden states of the main model
  model::Buffer<float> entry_states_;
  std::vector<uint8_t> has_entry_;  // by slot: the token's MTP entry is in memory
  std::vector<int32_t> entry_slots_;
  std::vector<std::pair<Sequence*, int64_t>> new_entries_;  // what a draft adds to Sequence::entries
  std::vector<int32_t> all_rows_;
  std::vector<LoadPiece> accepted_;  // rows of accepted drafts
  std::vector<std::pair<int, ops::Routing>> draft_routing_;

  // Of the current pass; reused.
  std::vector<TokenId> ids_;
  std::vector<int32_t> positions_, store_, ancestors_, slot_lists_, rows_;
  std::vector<ops::Segment> segments_;
  std::vector<LoadPiece> pieces_;
  std::vector<Sequence*> advancing_;
  std::vector<RowOfSlot> row_of_slot_;
  uint64_t stamp_ = 0;
  std::vector<int32_t> guesses_;
  int layers_done_ = 0;

  EngineProgress progress_;
  Clock::time_point start_ = Clock::now(), committed_ = start_;
};

}  // namespace

void run_generate(Runner& runner, const Tokenizer* tokenizer,
                  std::span<const GenerateRequest> requests, const GenerateLimits& limits,
                  bool expert_load, bool speculate, GenerateSink& sink,
                  EngineStatistics& statistics) {
  check_requests(requests, runner.config());
  for (size_t i = 0; i < requests.size() && !tokenizer; ++i) {
    if (!requests[i].stop.empty()) {
      throw_bad_input("stop strings need a tokenizer", request_name(requests[i].name, i));
    }
    if (!requests[i].required.empty()) {
      throw_bad_input("token healing needs a tokenizer", request_name(requests[i].name, i));
    }
  }
  GenerateRun(runner, tokenizer, requests, limits, expert_load, speculate, sink, statistics).run();
}

}  // namespace assay::engine
