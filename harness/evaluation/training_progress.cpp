#include "harness/evaluation/training_progress.h"

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace assay::harness {

namespace {

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_separator(char c) { return c == '-' || c == '_' || c == '.' || c == '='; }

double unit_of(char c) {
  switch (std::toupper(static_cast<unsigned char>(c))) {
    case 'K': return 1e3;
    case 'M': return 1e6;
    case 'B': return 1e9;
    case 'T': return 1e12;
    default: return 0;
  }
}

struct Number {
  double value = 0;
  size_t end = 0;  // behind its last character
  bool has_unit = false;
};

// A number that starts at `at`: digits, perhaps a fraction, perhaps a unit that ends the word.
std::optional<Number> number_at(std::string_view name, size_t at) {
  size_t end = at;
  while (end < name.size() && is_digit(name[end])) ++end;
  if (end == at) return std::nullopt;
  if (end + 1 < name.size() && name[end] == '.' && is_digit(name[end + 1])) {
    ++end;
    while (end < name.size() && is_digit(name[end])) ++end;
  }
  Number number{std::strtod(std::string(name.substr(at, end - at)).c_str(), nullptr), end, false};
  if (end < name.size() && unit_of(name[end]) > 0 &&
      (end + 1 == name.size() || !is_letter(name[end + 1]))) {
    number.value *= unit_of(name[end]);
    number.end = end + 1;
    number.has_unit = true;
  }
  return number;
}

std::optional<int64_t> whole(double value) {
  if (!(value < 9e18)) return std::nullopt;
  return std::llround(value);
}

// The number behind the last `word` of the name, with at most one separator between.
std::optional<int64_t> after(std::string_view name, std::string_view word) {
  for (size_t at = name.rfind(word); at != std::string_view::npos;) {
    size_t place = at + word.size();
    if (place < name.size() && is_separator(name[place])) ++place;
    if (const auto number = number_at(name, place)) return whole(number->value);
    if (at == 0) break;
    at = name.rfind(word, at - 1);
  }
  return std::nullopt;
}

// "100B-tokens", "100Btokens", "3.5T_tok": a number with a unit before the word.
std::optional<int64_t> tokens_before_word(std::string_view name) {
  for (size_t at = 0; at < name.size(); ++at) {
    if (!is_digit(name[at]) || (at > 0 && (is_digit(name[at - 1]) || name[at - 1] == '.'))) continue;
    size_t unit = at;
    while (unit < name.size() && (is_digit(name[unit]) || name[unit] == '.')) ++unit;
    if (unit == name.size() || unit_of(name[unit]) == 0) continue;
    size_t word = unit + 1;
    if (word < name.size() && is_separator(name[word])) ++word;
    if (!name.substr(word).starts_with("tok")) continue;
    const double value = std::strtod(std::string(name.substr(at, unit - at)).c_str(), nullptr);
    return whole(value * unit_of(name[unit]));
  }
  return std::nullopt;
}

}  // namespace

TrainingProgress progress_of_name(std::string_view raw) {
  std::string name(raw);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  TrainingProgress progress;
  // "step" also ends "global_step" and "train_step".
  for (const std::string_view word :
       {"steps", "step", "iterations", "iter", "checkpoint", "ckpt"}) {
    progress.step = after(name, word);
    if (progress.step) break;
  }
  if (!progress.step && !name.empty()) {
    const auto number = number_at(name, 0);
    if (number && number->end == name.size() && !number->has_unit) progress.step = whole(number->value);
  }
  for (const std::string_view word : {"tokens", "token", "tok"}) {
    progress.tokens = after(name, word);
    if (progress.tokens) break;
  }
  if (!progress.tokens) progress.tokens = tokens_before_word(name);
  return progress;
}

TrainingProgress progress_of_trainer_state(const std::filesystem::path& checkpoint) {
  TrainingProgress progress;
  const std::filesystem::path path = checkpoint / "trainer_state.json";
  if (!std::filesystem::exists(path)) return progress;
  try {
    const json::Document document = json::Document::load(path);
    const json::Value step = document.root().find("global_step");
    const json::Value tokens = document.root().find("num_input_tokens_seen");
    if (step.exists()) progress.step = step.integer();
    if (tokens.exists() && tokens.integer() > 0) progress.tokens = tokens.integer();
  } catch (const Error&) {
    // A checkpoint is not worse for a state file that says something else.
  }
  return progress;
}

TrainingProgress first_known(std::initializer_list<TrainingProgress> sources) {
  TrainingProgress known;
  for (const TrainingProgress& source : sources) {
    if (!known.step) known.step = source.step;
    if (!known.tokens) known.tokens = source.tokens;
  }
  return known;
}

TrainingProgress with_tokens_per_step(TrainingProgress progress,
                                      std::optional<int64_t> tokens_per_step) {
  if (!progress.tokens && progress.step && tokens_per_step) {
    progress.tokens = *progress.step * *tokens_per_step;
  }
  return progress;
}

}  // namespace assay::harness
