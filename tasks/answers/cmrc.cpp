#include "tasks/answers/cmrc.h"

#include <algorithm>

#include "base/utf8.h"
#include "tasks/answers/normalise.h"

namespace assay::tasks::answers {
namespace {

constexpr std::string_view kPunctuation = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』";

std::vector<std::string> segments(std::string_view text) {
  const std::string clean = n_zh(text);
  std::vector<std::string> out;
  bool in_word = false;
  for (size_t position = 0; position < clean.size();) {
    const size_t start = position;
    const char32_t c = utf8::decode(clean, position);
    if (utf8::is_space(c)) {
      in_word = false;
      continue;
    }
    const bool cjk = c >= 0x4E00 && c <= 0x9FA5;
    const bool word = !cjk && (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'));
    if (word && in_word) {
      out.back() += clean.substr(start, position - start);
    } else {
      out.push_back(clean.substr(start, position - start));
    }
    in_word = word;
  }
  return out;
}

}  // namespace

std::string n_zh(std::string_view text) {
  const std::string lowered = lower(text);
  const std::string_view stripped = utf8::strip(lowered);
  std::string out;
  for (size_t position = 0; position < stripped.size();) {
    const size_t start = position;
    utf8::decode(stripped, position);
    const std::string_view character = stripped.substr(start, position - start);
    if (kPunctuation.find(character) == std::string_view::npos) out += character;
  }
  return out;
}

double cmrc_em(std::string_view prediction, const std::vector<std::string>& golds) {
  const std::string predicted = n_zh(prediction);
  return std::any_of(golds.begin(), golds.end(),
                     [&](const std::string& gold) { return n_zh(gold) == predicted; });
}

double cmrc_f1(std::string_view prediction, const std::vector<std::string>& golds) {
  const auto predicted = segments(prediction);
  double best = 0;
  for (const std::string& gold : golds) {
    const auto wanted = segments(gold);
    // run[j]: length of the common run that ends at wanted[i - 1] and predicted[j - 1].
    std::vector<size_t> run(predicted.size() + 1), next(predicted.size() + 1);
    size_t longest = 0;
    for (const std::string& segment : wanted) {
      for (size_t j = 0; j < predicted.size(); ++j) {
        next[j + 1] = segment == predicted[j] ? run[j] + 1 : 0;
        longest = std::max(longest, next[j + 1]);
      }
      std::swap(run, next);
    }
    if (longest == 0) continue;
    const double common = static_cast<double>(longest);
    const double precision = common / static_cast<double>(predicted.size());
    const double recall = common / static_cast<double>(wanted.size());
    best = std::max(best, 2 * precision * recall / (precision + recall));
  }
  return best;
}

}  // namespace assay::tasks::answers
