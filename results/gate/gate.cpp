#include "results/gate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "results/scores.h"
#include "results/statistics/distributions.h"
#include "results/statistics/multiplicity.h"

namespace assay::results {
namespace {

void check_keys(json::Value object, std::initializer_list<std::string_view> known) {
  object.for_each_member([&](std::string_view key, json::Value value) {
    if (std::find(known.begin(), known.end(), key) != known.end()) return;
    std::string list;
    for (const std::string_view name : known) list += (list.empty() ? "" : ", ") + std::string(name);
    value.fail("unknown key " + std::string(key), "known are " + list);
  });
}

double scale(const std::string& unit) { return unit == "percent" ? 100.0 : 1.0; }

const GateRule* rule_for(const GateRules& rules, const TaskComparison& task) {
  for (const GateRule& rule : rules.rules) {
    if (!rule.task.empty() ? rule.task == task.a.identity.task
                           : rule.category.empty() ||
                                 rule.category == task.a.description.category)
      return &rule;
  }
  return nullptr;
}

// Fills in the two one-sided p-values from change, margin, standard error.
void test(GateRow& row, double degrees_of_freedom) {
  const double shift = row.change + row.margin;
  if (row.standard_error <= 0) {
    row.p_regression = shift < 0 ? 0 : 1;
    row.p_inferior = shift < 0 ? 1 : 0;
    return;
  }
  const double t = shift / row.standard_error;
  row.p_regression = statistics::student_cdf(t, std::max(1.0, degrees_of_freedom));
  row.p_inferior = statistics::student_cdf(-t, std::max(1.0, degrees_of_freedom));
}

const char* status_name(GateStatus status) {
  switch (status) {
    case GateStatus::pass: return "pass";
    case GateStatus::regression: return "regression";
    case GateStatus::inconclusive: return "inconclusive";
    case GateStatus::allowed: return "allowed";
  }
  return "";
}

std::string xml(const std::string& text) { return escape_html(text); }

}  // namespace

GateRules load_gate_rules(const std::filesystem::path& path) {
  const json::Document document = json::Document::load(path);
  const json::Value root = document.root();
  check_keys(root, {"alpha", "margin", "margin_bpb", "rules", "allow"});
  GateRules rules;
  rules.alpha = root.number_or("alpha", rules.alpha);
  if (!(rules.alpha > 0 && rules.alpha < 0.5))
    root.at("alpha").fail("must lie between 0 and 0.5");
  rules.margin = root.number_or("margin", rules.margin);
  rules.margin_bpb = root.number_or("margin_bpb", rules.margin_bpb);
  if (rules.margin < 0 || rules.margin_bpb < 0) root.fail("a margin must not be negative");
  if (const json::Value list = root.find("rules"); list.exists())
    list.for_each_element([&](json::Value value) {
      check_keys(value, {"task", "category", "margin", "floor", "average"});
      GateRule rule;
      rule.task = value.string_or("task", "");
      rule.category = value.string_or("category", "");
      if (!rule.task.empty() && !rule.category.empty())
        value.fail("a rule is for a task or for a category, not both");
      if (value.has("margin")) rule.margin = value.at("margin").number();
      if (rule.margin && *rule.margin < 0) value.fail("a margin must not be negative");
      if (value.has("floor")) rule.floor = value.at("floor").number();
      rule.average = value.boolean_or("average", false);
      if (rule.average && rule.category.empty()) value.fail("only a category has an average");
      rules.rules.push_back(std::move(rule));
    });
  if (const json::Value list = root.find("allow"); list.exists())
    list.for_each_element([&](json::Value value) {
      check_keys(value, {"task", "reason"});
      rules.allow[std::string(value.at("task").string())] =
          std::string(value.at("reason").string());
    });
  return rules;
}

GateResult judge_gate(const Comparison& comparison, const GateRules& rules,
                      const std::map<std::string, double>& noise) {
  GateResult result;
  result.forced = comparison.forced;
  result.alpha = rules.alpha;
  struct Average {
    const GateRule* rule = nullptr;
    std::vector<size_t> rows;
  };
  std::map<std::string, Average> averages;
  std::vector<GateRow> rows;
  std::vector<double> freedom;
  std::vector<const TaskComparison*> tasks;
  std::vector<const GateRule*> applied;
  for (const TaskComparison& task : comparison.tasks) {
    const GateRule* rule = rule_for(rules, task);
    if (rule == nullptr && !rules.rules.empty()) {
      result.notes.push_back(evaluation_name(task.a) + ": no rule fits it");
      continue;
    }
    GateRow row;
    row.name = evaluation_name(task.a);
    row.unit = task.a.description.unit;
    row.baseline = task.estimate.a;
    row.candidate = task.estimate.b;
    row.change = task.a.description.higher_is_better ? task.estimate.difference
                                                     : -task.estimate.difference;
    row.standard_error = task.estimate.standard_error.value_or(0);
    const auto sigma = noise.find(task.a.identity.task);
    if (sigma != noise.end())
      row.standard_error = std::sqrt(row.standard_error * row.standard_error +
                                     2 * sigma->second * sigma->second);
    const double points = rule && rule->margin   ? *rule->margin
                          : row.unit == "bpb"    ? rules.margin_bpb
                                                 : rules.margin;
    row.margin = points / scale(row.unit);
    if (rule != nullptr && rule->average) {
      averages[rule->category].rule = rule;
      averages[rule->category].rows.push_back(rows.size());
    }
    freedom.push_back(static_cast<double>(task.estimate.clusters) - 1);
    test(row, freedom.back());
    rows.push_back(std::move(row));
    tasks.push_back(&task);
    applied.push_back(rule);
  }
  // Categories judged by their mean stand for their tasks.
  std::vector<char> replaced(rows.size(), 0);
  std::vector<GateRow> means;
  for (const auto& [category, average] : averages) {
    GateRow mean;
    mean.name = category + " (mean of " + std::to_string(average.rows.size()) + ")";
    mean.unit = rows[average.rows.front()].unit;
    const auto k = static_cast<double>(average.rows.size());
    double variance = 0, least = 1e9;
    for (const size_t r : average.rows) {
      if (rows[r].unit != mean.unit)
        throw_bad_input("category " + category + " mixes units and has no average", "gate rules",
                        "give its tasks rules of their own");
      replaced[r] = 1;
      mean.baseline += rows[r].baseline / k;
      mean.candidate += rows[r].candidate / k;
      mean.change += rows[r].change / k;
      variance += rows[r].standard_error * rows[r].standard_error;
      least = std::min(least, freedom[r]);
    }
    mean.standard_error = std::sqrt(variance) / k;
    mean.margin = rows[average.rows.front()].margin;
    test(mean, least);
    means.push_back(std::move(mean));
  }

  std::vector<size_t> source;
  for (size_t r = 0; r < rows.size(); ++r)
    if (!replaced[r]) source.push_back(r);
  std::vector<double> p;
  for (const size_t r : source) p.push_back(rows[r].p_regression);
  for (const GateRow& mean : means) p.push_back(mean.p_regression);
  const std::vector<double> adjusted = statistics::holm(p);

  const auto decide = [&](GateRow& row, double p_adjusted, bool same) {
    row.p_adjusted = p_adjusted;
    if (same) {
      row.status = GateStatus::pass;
      row.reason = "every answer is the same";
    } else if (p_adjusted < rules.alpha) {
      row.status = GateStatus::regression;
      row.reason = "worse by more than the margin";
    } else if (row.p_inferior < rules.alpha) {
      row.status = GateStatus::pass;
      row.reason = "not worse by more than the margin";
    } else {
      row.reason = "too few documents to tell";
    }
  };
  for (size_t i = 0; i < source.size(); ++i) {
    GateRow row = rows[source[i]];
    const TaskComparison& task = *tasks[source[i]];
    decide(row, adjusted[i], task.verdict == Verdict::same);
    const GateRule* rule = applied[source[i]];
    if (rule != nullptr && rule->floor && task.b.headline) {
      const double floor = *rule->floor / scale(row.unit);
      const AggregateRecord& b = *task.b.headline;
      const bool higher = task.a.description.higher_is_better;
      if (higher ? b.high.value_or(b.value) < floor : b.low.value_or(b.value) > floor) {
        row.status = GateStatus::regression;
        row.reason = "beyond the floor of " + score_text(floor, row.unit);
      } else if (row.status == GateStatus::pass && (higher ? b.value < floor : b.value > floor)) {
        row.status = GateStatus::inconclusive;
        row.reason = "at the floor of " + score_text(floor, row.unit);
      }
    }
    const auto allowed = rules.allow.find(task.a.identity.task);
    if (allowed != rules.allow.end() && row.status != GateStatus::pass) {
      row.reason = std::string(status_name(row.status)) + ", allowed: " + allowed->second;
      row.status = GateStatus::allowed;
    }
    result.rows.push_back(std::move(row));
  }
  for (size_t i = 0; i < means.size(); ++i) {
    decide(means[i], adjusted[source.size() + i], false);
    result.rows.push_back(std::move(means[i]));
  }
  if (result.rows.empty()) throw_usage("no rule fits any task that both runs have");
  for (const GateRow& row : result.rows) {
    if (row.status == GateStatus::regression) result.status = GateStatus::regression;
    if (row.status == GateStatus::inconclusive && result.status == GateStatus::pass)
      result.status = GateStatus::inconclusive;
  }
  return result;
}

int GateResult::exit_code() const {
  return status == GateStatus::regression ? 1 : status == GateStatus::inconclusive ? 10 : 0;
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
    table.rows.push_back({"",
                          {{row.name},
                           {score_text(row.baseline, row.unit)},
                           {score_text(row.candidate, row.unit)},
                           {difference_text(row.change, row.unit)},
                           {score_text(row.margin, row.unit)},
                           {p_text(row.p_adjusted)},
                           {status_name(row.status), false, tone}}});
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
  for (const GateRow& row : result.rows)
    out.begin_object().member("name", row.name).member("unit", row.unit)
        .member("baseline", row.baseline).member("candidate", row.candidate)
        .member("change", row.change).member("standard_error", row.standard_error)
        .member("margin", row.margin).member("p_regression", row.p_regression)
        .member("p_adjusted", row.p_adjusted).member("p_inferior", row.p_inferior)
        .member("status", status_name(row.status)).member("reason", row.reason).end_object();
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
    cases += "  <testcase classname=\"assay.gate\" name=\"" + xml(row.name) + "\">";
    const std::string message = row.reason + ": " + difference_text(row.change, row.unit) +
                                ", margin " + score_text(row.margin, row.unit) + ", p " +
                                p_text(row.p_adjusted);
    if (row.status == GateStatus::regression) {
      ++failures;
      cases += "<failure message=\"" + xml(message) + "\"/>";
    } else if (row.status == GateStatus::inconclusive || row.status == GateStatus::allowed) {
      ++skipped;
      cases += "<skipped message=\"" + xml(message) + "\"/>";
    }
    cases += "</testcase>\n";
  }
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"assay gate\" tests=\"" +
         std::to_string(result.rows.size()) + "\" failures=\"" + std::to_string(failures) +
         "\" skipped=\"" + std::to_string(skipped) + "\">\n" + cases + "</testsuite>\n";
}

}  // namespace assay::results
