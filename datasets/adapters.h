// Layouts and row rules that are algorithms; task files name them ("format" and "adapter").
//
// A format turns a file's text into records; a row adapter changes a finished row's fields.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "datasets/field_rules.h"

namespace assay::datasets {

// Calls the function for every record of a file's text, in file order.
using RecordSink = std::function<void(Place&)>;

// "drop": from the JSON texts `answer` and `validated_answers` makes
//   answer_type  "number", "date" or "span"
//   answer_text  the number; "day month year" without empty parts; the spans joined by ", "
//   golds        list; each a JSON array of spans; first the answer's, then the validated ones';
//                answers without content are left out
void adapt_drop(Fields& fields, const Place& place);

// "livecodebench": decodes public_test_cases, private_test_cases (JSON, or base64 of zlib of a
// pickled JSON string) and metadata into
//   test_inputs, test_outputs  lists, public tests first
//   test_kind  "stdin" or "functional"; func_name  "" where there is none
void adapt_livecodebench(Fields& fields, const Place& place);

// "race-passage": a RACE file as one document, as lm-eval asks it: `question`, `choices` and
// `answer` (0-based) of the last question, and `earlier`, a list of the questions before it with
// their answers: "Question: {q}\nAnswer: {a}\n", or, for one that ends in the blank "  _  .", the
// sentence with the answer filled in.
void adapt_race_passage(Fields& fields, const Place& place);

// The row adapter of that name, or nullptr.
using RowAdapter = void (*)(Fields& fields, const Place& place);
RowAdapter find_adapter(std::string_view name);

// "agieval-prompts": few_shot_prompts.csv, one column a task; the cells are Python dicts. Records
// of the task `group` in the file's order, with the dict's members and `explanation`.
void read_agieval_prompts(std::string_view text, const std::string& where, const std::string& group,
                          const RecordSink& sink);

// "wikitext-pages": cuts a raw WikiText file at its level-1 headings (" = Title = "); members
// `page` (the text from the heading on) and `title`.
void read_wikitext_pages(std::string_view text, const std::string& where, const RecordSink& sink);

// "humaneval-lines": single-line infilling made from HumanEval's own file as its authors' set of that
// name was: every line of a reference solution that is not blank is a hole once. Members of the
// publisher's set: `task_id`, `entry_point`, `prompt` (all before the line), `suffix` (all after it,
// with the newline), `canonical_solution` (the line), `test`.
void read_humaneval_lines(std::string_view text, const std::string& where, const RecordSink& sink);

}  // namespace assay::datasets
