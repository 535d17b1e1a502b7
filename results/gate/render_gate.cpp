#include "base/json.h"
#include "results/gate.h"
#include "results/scores.h"

namespace assay::results {

const char* status_name(GateStatus status) {
  switch (status) {
    case GateStatus::pass: return "pass";
    case GateStatus::regression: return "regression";
    case GateStatus::inconclusive: return "inconclusive";
    case GateStatus::allowed: return "allowed";
  }
  return "";
}

Table gate_table(const GateResult& result) {
  Table table;
  table.title = std::string("Gate: ") + status_name(result.status);
  if (result.forced) table.title += "  [forced: the runs are not alike]";
  table.columns = {{"task", Align::left}, {"baseline"}, {"candidate"}, {"change"}, {"margin"},
                   {"p worse"}, {"verdict", Align::left}};
  for (const GateRow& row : result.rows) {
    const Tone tone = row.status == GateStatus::regression ? Tone::bad
                      : row.status == GateStatus::pass     ? Tone::good
                                                           : Tone::plain;
    const Cell verdict{status_name(row.status), false, tone};
    if (!row.measured) {
      table.rows.push_back({"", {{row.name}, {}, {}, {}, {}, {}, verdict}});
      table.notes.push_back(row.name + ": " + row.reason + ".");
      continue;
    }
    table.rows.push_back({"",
                          {{row.name},
                           {score_text(row.baseline, row.unit)},
                           {score_text(row.candidate, row.unit)},
                           {difference_text(row.change, row.unit)},
                           {score_text(row.margin, row.unit)},
                           {p_text(row.p_adjusted)},
                           verdict}});
    if (row.status != GateStatus::pass)
      table.notes.push_back(row.name + ": " + status_name(row.status) + ", " + row.reason + ".");
  }
  for (const std::string& note : result.notes) table.notes.push_back(note + ".");
  table.notes.push_back("Change: positive is better. p worse: worse by more than the margin, Holm.");
  return table;
}

std::string gate_json(const GateResult& result, const Comparison& comparison) {
  json::Writer out;
  out.begin_object();
  out.member("status", status_name(result.status)).member("exit_code", result.exit_code());
  out.member("forced", result.forced).member("alpha", result.alpha);
  out.member("baseline", comparison.a.identity.label);
  out.member("candidate", comparison.b.identity.label);
  out.key("rules").begin_array();
  for (const GateRow& row : result.rows) {
    out.begin_object().member("name", row.name);
    if (row.measured)
      out.member("unit", row.unit)
        .member("baseline", row.baseline).member("candidate", row.candidate)
        .member("change", row.change).member("standard_error", row.standard_error)
        .member("margin", row.margin).member("p_regression", row.p_regression)
        .member("p_adjusted", row.p_adjusted)
        .member("p_inferior", row.p_inferior);
    out.member("status", status_name(row.status)).member("reason", row.reason).end_object();
  }
  out.end_array().key("flips").begin_array();
  for (const TaskComparison& task : comparison.tasks)
    for (const Flip& flip : task.flips)
      out.begin_object().member("task", task.a.identity.task).member("item", flip.item_id)
          .member("baseline", flip.value_a).member("candidate", flip.value_b).end_object();
  out.end_array().key("notes").begin_array();
  for (const std::string& note : result.notes) out.value(note);
  return out.end_array().end_object().take();
}

std::string gate_junit(const GateResult& result) {
  size_t failures = 0, skipped = 0;
  std::string cases;
  for (const GateRow& row : result.rows) {
    cases += "  <testcase classname=\"assay.gate\" name=\"" + escape_html(row.name) +
             "\" time=\"0\">";
    std::string message = row.reason;
    if (row.measured)
      message += ": " + difference_text(row.change, row.unit) + ", margin " +
                 score_text(row.margin, row.unit) + ", p " + p_text(row.p_adjusted);
    if (row.status == GateStatus::regression) {
      ++failures;
      cases += "<failure message=\"" + escape_html(message) + "\"/>";
    } else if (row.status == GateStatus::inconclusive || row.status == GateStatus::allowed) {
      ++skipped;
      cases += "<skipped message=\"" + escape_html(message) + "\"/>";
    }
    cases += "</testcase>\n";
  }
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"assay gate\" tests=\"" +
         std::to_string(result.rows.size()) + "\" failures=\"" + std::to_string(failures) +
         "\" errors=\"0\" skipped=\"" + std::to_string(skipped) + "\" time=\"0\">\n" +
         (result.forced ? "  <properties><property name=\"forced\" value=\"true\"/></properties>\n"
                        : "") +
         cases + "</testsuite>\n";
}

}  // namespace assay::results
