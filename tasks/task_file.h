// A task file, checked: the rules of one benchmark in one variant as plain structs.
//
// docs/adding-a-task.md describes the keys; parse_task_file() is their definition. Everything that
// can be checked without data is checked here, and errors name file and key.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "datasets/dataset.h"
#include "tasks/aggregate.h"
#include "tasks/answers/extract.h"
#include "tasks/answers/scorers.h"
#include "tasks/catalog.h"
#include "tasks/haystack.h"
#include "tasks/program.h"
#include "tasks/prompt.h"
#include "tasks/template.h"

namespace assay::tasks {

// A field computed from others: one text, or a list made from each element of a list.
struct DerivedField {
  std::string name;
  std::string each;  // name of a list, or ""
  Template value;    // sees {{text}}, {{letter}}, {{number}} of the element with `each`
  std::optional<FieldValue> literal;    // a constant
  std::optional<std::string> split_at;  // the value's pieces, a list
};

// A field of the only document that another split has for the group.
struct JoinedField {
  std::string name, split, field;
};

// Which exemplars stand before the query (task-specs 0.3, 0.12).
struct ShotsRule {
  enum class Pick {
    none,
    first,     // the first k rows of `from`
    rows,      // rows of `from` by position
    literal,   // given in the task file
    hash,      // `from` in order of SHA-256("{task}/{seed}/{position}")
    siblings,  // the other documents of the document's own cluster, file order
    random,    // drawn anew for each document as lm-eval does
    field,     // complete texts in a list field of the document
  };
  Pick pick = Pick::none;
  int k = 0;
  std::string from;  // split
  std::vector<int64_t> rows;
  std::vector<Fields> literal;
  std::string field;            // pick field
  std::string within;           // field that must be equal in document and exemplar; "" = none
  bool across_groups = false;   // the pool is the whole split, not only the document's group
  bool predecessors = false;    // siblings: only those before the document
  bool exclude = false;         // documents that serve as exemplars are not scored
  bool keep_identical = false;  // an exemplar equal to the document may stay
  int extra = 0;                // random: draw k + extra, then drop rows equal to the document
  uint32_t seed = 1234;         // random
  std::shared_ptr<const ShotsRule> fallback;  // for data roots that are another collection
  // For data roots without the files of `from`: a rule over another split, with a warning.
  std::shared_ptr<const ShotsRule> missing;
  std::string digest;                         // of the rule's JSON
};

// The fixed sample of the split that is scored: Python's random.Random(seed).sample over its documents.
struct SampleRule {
  int64_t documents = 0;  // a split that has no more is scored as a whole
  uint32_t seed = 0;
};

struct ChoiceRule {
  std::string options;  // field: list of option texts; "" for a fixed list
  std::vector<std::string> fixed_options;
  Template continuation;        // sees letter, number, text of the option; without lead space
  std::string primary = "sum";  // normaliser of the headline
  bool whole = false;
  std::optional<Template> uncond;
};

enum class GoldForm { index, letter, letters, text, texts };
struct GoldRule {
  GoldForm form = GoldForm::texts;
  std::string field;
};

// One metric of a generated text.
struct TextMetric {
  std::string name;
  answers::Extraction extraction;
  answers::Scorer scorer;
};

struct ExecutionRule {
  Template kind;  // "asserts", "stdio", "call" or "expression"
  Template program, prelude, reference, tests, entry_point;
  std::string inputs, expected;  // fields (texts) of the cases
  std::vector<Filter> clean;     // on the generated text, which templates see as completion
  std::string expression;        // CRUXEval: "input" or "output", how to find the answer
  double seconds = 10;
};

class TaskFile {
 public:
  std::string name, variant, where;  // where: "catalog/mmlu.json (variant ds)"
  DeviationCard card;

  std::shared_ptr<const json::Document> source;  // the merged JSON
  std::optional<datasets::DatasetSpec> data;
  std::optional<HaystackRule> haystack;  // documents made by the program instead of `data`
  Template needle;                       // haystack: the sentence that is placed in the text
  std::string split;
  std::vector<DerivedField> fields;
  std::vector<JoinedField> joined;
  // Only documents whose fields have one of the values are scored (or counted).
  std::map<std::string, std::vector<std::string>> only;
  std::vector<int64_t> except_rows;  // positions that are not scored
  std::optional<SampleRule> sample;  // of what `only` and `except_rows` leave
  // field -> group -> value; "*" stands for every other group.
  std::map<std::string, std::map<std::string, std::string>> group_fields;

  RequestKind kind = RequestKind::choice;
  Template description, query, answer;
  std::optional<Template> suffix;  // fill-in-the-middle: the text after the hole
  std::optional<Template> shot;  // instead of query + lead space + answer
  std::string separator = "\n\n";
  bool lead_space = true;
  ShotsRule shots;
  int64_t max_len = 4096;  // 0 = the model's own
  int64_t stride = 0;      // rolling: tokens that a window after the first scores; 0 = max_len
  TooLong too_long = TooLong::drop_shots;

  ChoiceRule choice;
  GoldRule gold;
  std::vector<Template> contexts;  // partial: one per option
  std::vector<Template> stop;
  std::optional<Template> new_tokens;  // instead of generation.max_new_tokens: differs by document
  GenerationRule generation;
  std::vector<TextMetric> metrics;
  std::optional<ExecutionRule> execution;
  std::string primary_metric;

  AggregationRule aggregation;
  std::string template_digest;  // of everything that shapes prompts and grades
};

// Reads the variant of a merged task object. `where` names the file.
std::shared_ptr<const TaskFile> parse_task_file(json::Document merged, const std::string& variant,
                                                const std::string& where);

}  // namespace assay::tasks
