#include "tasks/answers/programs.h"

#include <array>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace assay::tasks::answers {
namespace {

ProgramKind parse_kind(const std::string& name, const Fields& fields) {
  for (ProgramKind kind :
       {ProgramKind::asserts, ProgramKind::stdio, ProgramKind::call, ProgramKind::expression}) {
    if (program_kind_name(kind) == name) return kind;
  }
  throw_bad_input("'" + name + "' is no kind of execution", std::string(fields.document_id()),
                  "asserts, stdio, call or expression");
}

// CRUXEval's own rules (task-specs 5.4). Sets the expression, or refuses the answer.
void crux_output(std::string_view text, const Fields& fields, ProgramRequest& program) {
  size_t first = text.find("==");
  if (first != std::string_view::npos) {
    text.remove_prefix(first + 2);
    text = text.substr(0, text.find("=="));
  }
  std::string answer(utf8::strip(text));
  if (answer.find("f(" + fields.text("input") + ")") != std::string::npos) {
    program.refused = true;
    program.refused_reason = "the answer contains the call itself";
  }
  program.cases = {{answer, fields.text("output")}};
}

void crux_input(std::string_view text, const Fields& fields, ProgramRequest& program) {
  text = text.substr(0, text.find("=="));
  std::string answer(text);
  if (size_t at = text.find("assert f"); at != std::string_view::npos) {
    answer = "f" + std::string(text.substr(at + std::string_view("assert f").size()));
  }
  answer = std::string(utf8::strip(answer));
  if (answer.find("f(") == std::string::npos) {
    program.refused = true;
    program.refused_reason = "the answer does not call f";
  }
  program.cases = {{answer, fields.text("output")}};
}

}  // namespace

ProgramRequest make_program(const ExecutionRule& rule, const Fields& document,
                            std::string_view generated) {
  std::string completion(generated);
  for (const Filter& filter : rule.clean) completion = filter.apply_text(std::move(completion));
  Fields fields(&document);
  fields.set("completion", completion);

  ProgramRequest program;
  program.kind = parse_kind(rule.kind.render(fields), fields);
  program.program = rule.program.render(fields);
  program.checker_prelude = rule.prelude.render(fields);
  program.reference = rule.reference.render(fields);
  program.tests = rule.tests.render(fields);
  program.entry_point = rule.entry_point.render(fields);
  program.seconds = rule.seconds;
  if (program.kind == ProgramKind::expression) {
    if (rule.expression == "crux_output") {
      crux_output(completion, fields, program);
    } else if (rule.expression == "crux_input") {
      crux_input(completion, fields, program);
    } else {
      throw_bad_input("\"expression\" must be crux_output or crux_input",
                      std::string(fields.document_id()));
    }
  } else if (!rule.inputs.empty()) {
    std::vector<std::string> inputs = fields.texts(rule.inputs),
                             expected = fields.texts(rule.expected);
    if (inputs.size() != expected.size()) {
      throw_bad_input("inputs and outputs of the tests differ in number",
                      std::string(fields.document_id()));
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      program.cases.push_back({std::move(inputs[i]), std::move(expected[i])});
    }
  }
  return program;
}

}  // namespace assay::tasks::answers
