// Prompts: templates filled in, exemplars chosen and, where tokens are too many, dropped.
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/utf8.h"
#include "tasks/task_state.h"

namespace assay::tasks {
namespace {

using datasets::Document;

// The pieces of a prompt: everything but the exemplars is fixed.
struct Pieces {
  std::string description;
  std::vector<std::string> shots;
  std::string separator;
  std::vector<std::string> queries;  // partial: one per option

  std::string beginning(size_t k) const {
    std::string out = description;
    for (size_t i = 0; i < k; ++i) out += shots[i] + separator;
    return out;
  }
};

// A context that would end in whitespace gives it to the continuation (task-specs 0.2).
std::string take_trailing_space(std::string& context) {
  size_t end = utf8::strip_right(context).size();
  std::string space = context.substr(end);
  context.resize(end);
  return space;
}

class Fitter {
 public:
  Fitter(const Task::State& state, const TokenCounter& count, int64_t budget)
      : state_(state), count_(count), budget_(budget) {}

  // Whether beginning + rest is at most `budget` tokens. A token of these tokenizers is at least
  // one byte, so that bytes bound tokens; a beginning is counted once and joined with a few bytes'
  // allowance for the token at the seam.
  bool fits(const std::string& beginning, const std::string& rest) const {
    constexpr int64_t kSeam = 16, kBos = 1;
    int64_t rest_bytes = static_cast<int64_t>(rest.size());
    if (static_cast<int64_t>(beginning.size()) + rest_bytes + kBos <= budget_) return true;
    if (!beginning.empty() && beginning_tokens(beginning) + rest_bytes + kSeam <= budget_) {
      return true;
    }
    return count_(beginning + rest) <= budget_;
  }

 private:
  int64_t beginning_tokens(const std::string& beginning) const {
    {
      std::lock_guard lock(state_.mutex);
      auto it = state_.prefix_tokens.find(beginning);
      if (it != state_.prefix_tokens.end()) return it->second;
    }
    int64_t tokens = count_(beginning);
    std::lock_guard lock(state_.mutex);
    // Exemplars drawn anew for each document would only fill memory.
    if (state_.prefix_tokens.size() < 2000) state_.prefix_tokens.emplace(beginning, tokens);
    return tokens;
  }

  const Task::State& state_;
  const TokenCounter& count_;
  int64_t budget_;
};

// Cuts code points from the left of `query` until it fits; the shortest cut, by bisection.
void cut_query(const Fitter& fitter, const std::string& beginning, std::string& query,
               const std::string& continuation) {
  std::vector<size_t> starts;
  for (size_t position = 0; position < query.size();) {
    starts.push_back(position);
    utf8::decode(query, position);
  }
  starts.push_back(query.size());
  size_t low = 0, high = starts.size() - 1;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (fitter.fits(beginning, query.substr(starts[middle]) + continuation)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  query.erase(0, starts[low]);
}

}  // namespace

static int whole_number(const Template& rule, const Fields& fields) {
  const std::string text = rule.render(fields);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) {
    throw_bad_input("max_new_tokens is '" + text + "', not a positive number",
                    std::string(fields.document_id()));
  }
  return value;
}

static std::vector<std::string> split_text(const std::string& text, const std::string& at) {
  std::vector<std::string> pieces;
  for (size_t start = 0;;) {
    size_t end = text.find(at, start);
    pieces.push_back(text.substr(start, end - start));
    if (end == std::string::npos) return pieces;
    start = end + at.size();
  }
}

Option make_option(const std::string& text, bool lead_space) {
  Option option;
  option.continuation = (lead_space ? " " : "") + text;
  option.bytes = static_cast<int64_t>(text.size());
  option.code_points = static_cast<int64_t>(utf8::length(text));
  return option;
}

void Task::State::set_group_fields(Fields& fields, const std::string& group) const {
  fields.set("group", group);
  datasets::Group described = file->data->group(group);
  fields.set("group_name", described.display_name);
  fields.set("group_category", described.category);
  for (const auto& [field, by_group] : file->group_fields) {
    auto it = by_group.find(group);
    if (it == by_group.end()) it = by_group.find("*");
    if (it != by_group.end()) fields.set(field, it->second);
  }
  for (const auto& [field, by_group] : joined) {
    if (auto it = by_group.find(group); it != by_group.end()) fields.set(field, it->second);
  }
}

Fields Task::State::fields(const Document& document) const {
  Fields fields(document);
  set_group_fields(fields, document.group);
  for (const DerivedField& derived : file->fields) {
    if (derived.literal) {
      fields.set(derived.name, *derived.literal);
    } else if (derived.split_at) {
      fields.set(derived.name, split_text(derived.value.render(fields), *derived.split_at));
    } else if (derived.each.empty()) {
      fields.set(derived.name, derived.value.render(fields));
    } else {
      std::vector<std::string> rendered, elements = fields.texts(derived.each);
      for (size_t i = 0; i < elements.size(); ++i) {
        Fields element(&fields);
        if (i < 26) element.set("letter", option_letter(i));
        element.set("number", static_cast<int64_t>(i + 1));
        element.set("text", elements[i]);
        rendered.push_back(derived.value.render(element));
      }
      fields.set(derived.name, std::move(rendered));
    }
  }
  return fields;
}

std::vector<std::string> Task::State::option_texts(const Fields& fields) const {
  if (!file->choice.fixed_options.empty()) return file->choice.fixed_options;
  return fields.list(file->choice.options);
}

std::vector<int> Task::State::gold_options(const Fields& fields, size_t options) const {
  const GoldRule& rule = file->gold;
  const FieldValue* value = fields.find(rule.field);
  if (!value || std::holds_alternative<std::monostate>(*value)) return {};
  auto letter_index = [&](const std::string& letter) {
    return letter.size() == 1 && letter[0] >= 'A' && letter[0] <= 'Z' ? letter[0] - 'A' : -1;
  };
  std::vector<int> golds;
  switch (rule.form) {
    case GoldForm::index:
      golds.push_back(static_cast<int>(fields.integer(rule.field)));
      break;
    case GoldForm::letter: {
      const std::string& letter = fields.string(rule.field);
      if (letter.empty()) return {};
      golds.push_back(letter_index(letter));
      break;
    }
    case GoldForm::letters:
      for (const std::string& letter : fields.texts(rule.field)) {
        golds.push_back(letter_index(letter));
      }
      break;
    case GoldForm::text:
    case GoldForm::texts: {
      std::vector<std::string> texts = option_texts(fields), wanted = fields.texts(rule.field);
      for (const std::string& gold : wanted) {
        auto it = std::find(texts.begin(), texts.end(), gold);
        golds.push_back(it == texts.end() ? -1 : static_cast<int>(it - texts.begin()));
      }
      break;
    }
  }
  for (int gold : golds) {
    if (gold < 0 || static_cast<size_t>(gold) >= options) {
      throw_bad_input("the answer is none of the " + std::to_string(options) + " options",
                      fields.place(rule.field));
    }
  }
  return golds;
}

std::vector<std::string> Task::State::gold_texts(const Fields& fields) const {
  return file->gold.field.empty() ? std::vector<std::string>() : fields.texts(file->gold.field);
}

std::string Task::State::continuation(const Fields& fields, const std::string& option,
                                      size_t index) const {
  Fields element(&fields);
  if (index < 26) element.set("letter", option_letter(index));
  element.set("number", static_cast<int64_t>(index + 1));
  element.set("text", option);
  return file->choice.continuation.render(element);
}

std::string Task::State::answer(const Fields& fields) const {
  if (!file->answer.empty() || file->kind != RequestKind::choice) {
    return file->answer.render(fields);
  }
  std::vector<std::string> options = option_texts(fields);
  std::vector<int> gold = gold_options(fields, options.size());
  if (gold.empty()) throw_bad_input("an exemplar has no answer", std::string(fields.document_id()));
  size_t index = static_cast<size_t>(gold[0]);
  return continuation(fields, options[index], index);
}

Option Task::State::gold_answer(const Fields& fields) const {
  if (file->answer.empty()) return {};
  std::string text = file->answer.render(fields);
  return text.empty() ? Option() : make_option(text, file->lead_space);
}

std::string Task::State::shot(const Exemplar& exemplar) const {
  Fields fields;
  if (!exemplar.text.empty()) return exemplar.text;
  if (exemplar.literal) {
    if (exemplar.literal->find("shot")) return exemplar.literal->text("shot");
    fields = Fields(exemplar.literal);
  } else {
    fields = this->fields(*exemplar.document);
  }
  if (file->shot) return file->shot->render(fields);
  return file->query.render(fields) + (file->lead_space ? " " : "") + answer(fields);
}

// Fills the text so that prompt and answer take at most `length` tokens; without a counter, by a rough
// guess at English prose.
void Task::State::add_haystack(Fields& fields, const TokenCounter& count) const {
  constexpr double kBytesPerToken = 4.5;
  const int64_t budget = fields.integer("length") - file->generation.max_new_tokens;
  const auto fits = [&](const std::string& text) {
    fields.set("haystack", text);
    const std::string prompt = file->description.render(fields) + file->query.render(fields);
    const int64_t tokens =
        count ? count(prompt) : static_cast<int64_t>(static_cast<double>(prompt.size()) / kBytesPerToken);
    return tokens <= budget;
  };
  fields.set("haystack", fill_haystack(*file->haystack, fields.integer("repeat"),
                                       fields.integer("depth"), file->needle.render(fields), fits));
}

// The first k candidates that are not the document itself in other clothes.
std::vector<Exemplar> Task::State::exemplars_for(size_t i, const Fields& fields) const {
  std::vector<Exemplar> chosen;
  const Document& document = this->document(i);
  size_t k = static_cast<size_t>(exemplars->k());
  const ShotsRule& rule = exemplars->rule();
  if (rule.pick == ShotsRule::Pick::field && k > 0) {
    const std::vector<std::string>& texts = fields.list(rule.field);
    for (size_t e = 0; e < std::min(k, texts.size()); ++e) {
      chosen.push_back({nullptr, nullptr, rule.field + ":" + std::to_string(e), texts[e]});
    }
    return chosen;
  }
  std::string question;  // rendered only if something may be identical
  for (Exemplar& candidate : exemplars->candidates(this->chosen[i])) {
    if (chosen.size() == k) break;
    if (candidate.literal && !rule.within.empty() &&
        candidate.literal->text(rule.within) != fields.text(rule.within)) {
      continue;
    }
    if (candidate.document && !rule.keep_identical) {
      // lm-eval removes rows that equal the document (and only where it draws one more).
      bool by_content = rule.pick == ShotsRule::Pick::random;
      if (by_content && rule.extra > 0 &&
          candidate.document->content_hash == document.content_hash) {
        continue;
      }
      if (!by_content && rule.pick != ShotsRule::Pick::siblings) {
        if (question.empty()) question = file->query.render(fields);
        std::string other = file->query.render(this->fields(*candidate.document));
        if (utf8::strip(other) == utf8::strip(question)) continue;
      }
    }
    chosen.push_back(std::move(candidate));
  }
  return chosen;
}

Prompt Task::prompt(size_t i, const TokenCounter& count) const {
  const State& s = *state_;
  const TaskFile& file = *s.file;
  Fields fields = s.fields(s.document(i));
  Prompt prompt;
  prompt.kind = file.kind;
  prompt.too_long = file.too_long;

  if (file.haystack) s.add_haystack(fields, count);

  Pieces pieces;
  pieces.description = file.description.render(fields);
  pieces.separator = file.separator;
  for (const Exemplar& exemplar : s.exemplars_for(i, fields)) {
    pieces.shots.push_back(s.shot(exemplar));
    prompt.exemplars.push_back(exemplar.id);
  }
  prompt.shots_asked = static_cast<int>(pieces.shots.size());
  size_t shots = pieces.shots.size();

  int64_t budget = s.max_len;
  std::vector<std::string> longest;  // per query: what must fit behind it
  if (file.kind == RequestKind::choice || file.kind == RequestKind::partial) {
    if (file.kind == RequestKind::choice) {
      pieces.queries = {file.query.render(fields)};
      std::vector<std::string> options = s.option_texts(fields);
      for (size_t o = 0; o < options.size(); ++o) {
        prompt.options.push_back(
            make_option(s.continuation(fields, options[o], o), file.lead_space));
      }
    } else {
      for (const Template& context : file.contexts) {
        pieces.queries.push_back(context.render(fields));
        prompt.options.push_back(
            make_option(file.choice.continuation.render(fields), file.lead_space));
      }
    }
    prompt.gold_options = s.gold_options(fields, prompt.options.size());
    prompt.whole = file.choice.whole;
    if (file.choice.uncond) prompt.uncond_context = file.choice.uncond->render(fields);
    auto by_size = [](const Option& a, const Option& b) {
      return a.continuation.size() < b.continuation.size();
    };
    std::string most =
        std::max_element(prompt.options.begin(), prompt.options.end(), by_size)->continuation;
    longest.assign(pieces.queries.size(), most);
  } else {
    pieces.queries = {file.query.render(fields)};
    longest = {""};
    prompt.gold_texts = s.gold_texts(fields);
    if (file.kind == RequestKind::generate) {
      prompt.generation = file.generation;
      for (const Template& stop : file.stop) prompt.generation.stop.push_back(stop.render(fields));
      if (file.new_tokens) prompt.generation.max_new_tokens = whole_number(*file.new_tokens, fields);
      prompt.gold_answer = s.gold_answer(fields);
      if (file.suffix) prompt.suffix = file.suffix->render(fields);
      budget -= prompt.generation.max_new_tokens;
    }
  }

  bool limited = count && s.max_len > 0 && file.kind != RequestKind::rolling &&
                 file.too_long == TooLong::drop_shots;
  std::string beginning = pieces.beginning(shots);
  if (limited) {
    if (budget <= 0) {
      throw_usage("max_len " + std::to_string(s.max_len) + " leaves no room for a prompt of " +
                  file.name);
    }
    Fitter fitter(s, count, budget);
    auto all_fit = [&] {
      for (size_t q = 0; q < pieces.queries.size(); ++q) {
        if (!fitter.fits(beginning, pieces.queries[q] + longest[q])) return false;
      }
      return true;
    };
    while (!all_fit()) {
      if (shots > 0) {
        beginning = pieces.beginning(--shots);
        continue;
      }
      prompt.truncated = true;
      for (size_t q = 0; q < pieces.queries.size(); ++q) {
        cut_query(fitter, beginning, pieces.queries[q], longest[q]);
      }
      break;
    }
  }
  prompt.shots_used = static_cast<int>(shots);
  prompt.exemplars.resize(shots);

  if (file.kind == RequestKind::partial) {
    for (size_t q = 0; q < pieces.queries.size(); ++q) {
      std::string context = beginning + pieces.queries[q];
      std::string space = take_trailing_space(context);
      prompt.options[q].continuation = space + prompt.options[q].continuation;
      prompt.contexts.push_back(std::move(context));
    }
    prompt.context = prompt.contexts[0];
  } else {
    prompt.context = beginning + pieces.queries[0];
    if (file.kind == RequestKind::choice) {
      std::string space = take_trailing_space(prompt.context);
      for (Option& option : prompt.options) option.continuation = space + option.continuation;
    }
  }
  return prompt;
}

}  // namespace assay::tasks
