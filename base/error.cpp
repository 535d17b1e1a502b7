#include "base/error.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace assay {

Error::Error(ErrorKind kind, std::string what, std::string where, std::string remedy)
    : kind_(kind), what_(std::move(what)), where_(std::move(where)), remedy_(std::move(remedy)) {
  if (!where_.empty()) line_ += where_ + ": ";
  line_ += what_;
  if (!remedy_.empty()) line_ += " (" + remedy_ + ")";
  line_ = utf8::printable(line_);
}

void throw_bad_input(std::string what, std::string where, std::string remedy) {
  throw Error(ErrorKind::bad_input, std::move(what), std::move(where), std::move(remedy));
}
void throw_usage(std::string what, std::string remedy) {
  throw Error(ErrorKind::usage, std::move(what), {}, std::move(remedy));
}
void throw_resource(std::string what, std::string where, std::string remedy) {
  throw Error(ErrorKind::resource, std::move(what), std::move(where), std::move(remedy));
}
void throw_internal(std::string what, std::string where) {
  throw Error(ErrorKind::internal, std::move(what), std::move(where), "please report this");
}

namespace {

// Damerau-Levenshtein distance in its restricted form: two letters swapped count once.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string nearest_word(std::string_view word, const std::string_view* candidates, size_t count) {
  std::string_view best;
  size_t best_distance = SIZE_MAX;
  for (size_t i = 0; i < count; ++i) {
    const size_t distance = edit_distance(word, candidates[i]);
    if (distance < best_distance) best_distance = distance, best = candidates[i];
  }
  if (best_distance * 3 > std::max(word.size(), best.size())) return {};
  return std::string(best);
}

}  // namespace assay
