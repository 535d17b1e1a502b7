// Results of OpenAI's simple-evals: EVAL_MODEL_DATE_allresults.json, whose "htmls" hold one
// rendered example each, or the report EVAL_MODEL_DATE.html with the same examples between <hr>. An
// example has its messages as <div class="message ROLE"> ... <pre>TEXT</pre>, the sampled one below
// the heading "Sampled message", and "Correct Answer", "Extracted Answer" and "Score" as
// paragraphs; all texts are escaped for HTML. Examples have no ids: their number stands for them.
#include <optional>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "results/manage/import_logs.h"

namespace assay::results::detail {
namespace {

constexpr std::string_view kAll = "_allresults.json", kExamples = "<h1>Examples</h1>";

bool is_log(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (name.ends_with(kAll)) return true;
  if (path.extension() != ".html") return false;
  // Of the two files of one evaluation the first is read.
  std::error_code ignored;
  if (std::filesystem::exists(path.parent_path() / (path.stem().string() + std::string(kAll)),
                              ignored))
    return false;
  return read_file(path).find(kExamples) != std::string::npos;
}

// What Jinja's escaping did, undone.
std::string unescaped(std::string_view text) {
  constexpr std::pair<std::string_view, char> kEntities[] = {
      {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&#39;", '\''}, {"&#34;", '"'}};
  std::string out;
  for (size_t at = 0; at < text.size();) {
    bool known = false;
    for (const auto& [entity, character] : kEntities) {
      if (text[at] != '&' || !text.substr(at).starts_with(entity)) continue;
      out += character;
      at += entity.size();
      known = true;
      break;
    }
    if (!known) out += text[at++];
  }
  return out;
}

// The text between two marks, searched from `at`, which moves behind the second one.
std::optional<std::string> between(std::string_view text, std::string_view open,
                                   std::string_view close, size_t& at) {
  const size_t begin = text.find(open, at);
  if (begin == std::string_view::npos) return std::nullopt;
  const size_t end = text.find(close, begin + open.size());
  if (end == std::string_view::npos) return std::nullopt;
  at = end + close.size();
  return unescaped(text.substr(begin + open.size(), end - begin - open.size()));
}

double score_of(const std::string& text, const std::string& where) {
  if (text == "True") return 1;
  if (text == "False") return 0;
  try {
    size_t used = 0;
    const double score = std::stod(text, &used);
    if (used == text.size()) return score;
  } catch (const std::exception&) {
  }
  throw_bad_input("\"" + text + "\" is not a score", where);
}

ImportedSample read_example(std::string_view html, const std::string& where) {
  ImportedSample sample;
  const size_t sampled = html.find("<h3>Sampled message</h3>");
  const size_t results = html.find("<h3>Results</h3>");
  if (sampled == std::string_view::npos || results == std::string_view::npos || results < sampled)
    throw_bad_input("an example without a sampled message and results", where,
                    "evaluations that render their examples otherwise (HealthBench) are not read");
  const std::string_view prompt = html.substr(0, sampled), tail = html.substr(results);
  for (size_t at = 0;;) {
    const auto role = between(prompt, "<div class=\"message ", "\"", at);
    if (!role) break;
    const auto text = between(prompt, "<pre>", "</pre>", at);
    if (!text) throw_bad_input("a message without a text", where);
    sample.item.context += (sample.item.context.empty() ? "" : "\n\n") + *role + ": " + *text;
  }
  size_t at = sampled;
  GenerationRecord generation;
  generation.text = between(html, "<pre>", "</pre>", at).value_or("");
  generation.finish = "stop";
  at = 0;
  sample.item.document.gold = between(tail, "<p>Correct Answer: ", "</p>", at).value_or("");
  generation.extracted = between(tail, "<p>Extracted Answer: ", "</p>", at).value_or("");
  const auto score = between(tail, "<p>Score: ", "</p>", at);
  if (!score) throw_bad_input("an example without a score", where);
  sample.grade.predicted = generation.extracted;
  sample.grade.metrics = {{"score", score_of(std::string(utf8::strip(*score)), where), 1}};
  sample.generations.push_back(std::move(generation));
  return sample;
}

ImportedTask read_log(const std::filesystem::path& path) {
  ImportedTask task;
  const std::string name = path.filename().string();
  task.name = name.substr(0, name.find_first_of("_."));
  const auto add = [&](std::string_view html) {
    const auto id = static_cast<int64_t>(task.samples.size());
    const std::string where = path.string() + ": example " + std::to_string(id);
    ImportedSample sample = read_example(html, where);
    sample.item.document.item_id = "simple-evals:" + task.name + ":" + std::to_string(id);
    sample.item.document.content_hash =
        sha256_hex(sample.item.context + "\n" + sample.item.document.gold);
    task.samples.emplace(id, std::move(sample));
  };
  if (name.ends_with(kAll)) {
    const json::Document log = json::Document::load(path);
    log.root().at("htmls").for_each_element([&](json::Value html) { add(html.string()); });
    return task;
  }
  const std::string page = read_file(path);
  const std::string_view examples =
      std::string_view(page).substr(page.find(kExamples) + kExamples.size());
  for (size_t at = 0;;) {
    const size_t end = examples.find("<hr>", at);
    if (end == std::string_view::npos) break;
    add(examples.substr(at, end - at));
    at = end + 4;
  }
  return task;
}

}  // namespace

const LogLayout kSimpleEvalsLayout{"simple-evals",
                                   "simple-evals",
                                   "EVAL_MODEL_DATE_allresults.json or EVAL_MODEL_DATE.html",
                                   "numerics, tokens and the documents' ids",
                                   is_log,
                                   read_log};

}  // namespace assay::results::detail
