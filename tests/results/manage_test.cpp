// Gate, series, export, merge, import, removal, explain.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "results/csv.h"
#include "results/explain.h"
#include "results/gate.h"
#include "results/manage.h"
#include "results/series.h"
#include "results/store/database.h"
#include "synthetic_run.h"

namespace assay::results {
namespace {

using synthetic::Shape;

class ManageTest : public testing::Test {
 protected:
  Store write(const char* name) {
    return Store::open(folder_.path() / name, Store::Access::write);
  }
  std::filesystem::path file(const char* name) { return folder_.path() / name; }
  TemporaryDirectory folder_{"assay-manage-test"};
};

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

GateResult gate(const Store& store, const GateRules& rules, const CompareOptions& options = {}) {
  return judge_gate(compare(store, find_run(store, "a"), find_run(store, "b"), options, Workers(1)),
                    rules);
}

// Extraction failed on every second document of run "b".
double generation_value(const Shape& shape, const char* label, int64_t i) {
  return synthetic::right(shape, i) && (label[0] != 'b' || i % 2 != 0) ? 1 : 0;
}

// One evaluation of `task` under `label`.
void put_task(Store& store, const char* label, const Shape& shape, const char* category = "English") {
  const RunId run = store.begin_run(store.put_model(synthetic::model(label)),
                                    synthetic::run_identity(label), {});
  EvaluationDescription description = synthetic::description(shape);
  description.category = category;
  const EvaluationId e =
      store.begin_evaluation(run, synthetic::evaluation_identity(shape), description);
  synthetic::complete(store, {run, e}, shape, 500);
}

TEST_F(ManageTest, GateLetsNothingPassByLeavingItOut) {
  Store store = write("s");
  const Shape mmlu{.task = "mmlu", .documents = 2000, .groups = 0};
  const Shape gsm8k{.task = "gsm8k", .documents = 2000, .groups = 0};
  put_task(store, "a", mmlu);
  put_task(store, "b", mmlu);
  EXPECT_EQ(gate(store, {}).exit_code(), 0);
  put_task(store, "a", gsm8k, "Math");
  GateResult result = gate(store, {});
  EXPECT_EQ(result.exit_code(), 10);  // B has no gsm8k
  EXPECT_NE(gate_junit(result).find("no finished score"), std::string::npos);
  GateRules rules;
  rules.rules = {{.task = "mmlu"}};
  EXPECT_EQ(gate(store, rules).exit_code(), 0);  // nobody asked for gsm8k
  rules.rules.push_back({.task = "mmlu_pro"});
  EXPECT_EQ(gate(store, rules).exit_code(), 10);  // a rule that fits nothing
  rules.allow["mmlu_pro"] = "not measured yet";
  EXPECT_EQ(gate(store, rules).exit_code(), 0);
  rules.rules = {{.category = "Math", .average = true}};
  EXPECT_EQ(gate(store, rules).exit_code(), 10);
  put_task(store, "b", gsm8k, "Math");
  EXPECT_EQ(gate(store, rules).exit_code(), 0);
  rules.rules[0].floor = 99.0;  // of the mean as well
  EXPECT_EQ(gate(store, rules).exit_code(), 1);
}

// The members of JUnit's schema that continuous-integration programs read, by an XML parser.
TEST_F(ManageTest, JUnitIsWhatReadersExpect) {
  GateResult result;
  const std::string hostile = std::string("<b a=\"1\">&\x01 \xff ]]>", 20);
  for (const GateStatus status : {GateStatus::pass, GateStatus::regression, GateStatus::inconclusive,
                                  GateStatus::allowed}) {
    GateRow row;
    row.name = "task " + hostile;
    row.unit = "percent";
    row.status = status;
    row.reason = hostile;
    result.rows.push_back(row);
  }
  result.forced = true;
  const auto path = file("gate.xml");
  write_file_atomically(path, gate_junit(result));
  if (std::system("command -v xmllint > /dev/null 2>&1") != 0)
    GTEST_SKIP() << "xmllint is not installed: the report was not checked";
  const auto xpath = [&](const std::string& query) {
    const auto out = file("out.txt");
    const std::string command =
        "xmllint --xpath '" + query + "' '" + path.string() + "' > '" + out.string() + "'";
    EXPECT_EQ(std::system(command.c_str()), 0) << query;
    std::string text = read_file(out);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  };
  EXPECT_EQ(xpath("string(/testsuite/@tests)"), "4");
  EXPECT_EQ(xpath("string(/testsuite/@failures)"), xpath("count(//failure)"));
  EXPECT_EQ(xpath("string(/testsuite/@skipped)"), xpath("count(//skipped)"));
  EXPECT_EQ(xpath("string(/testsuite/@errors)"), "0");
  EXPECT_EQ(xpath("count(/testsuite/testcase[@name and @classname and @time])"), "4");
  EXPECT_EQ(xpath("count(//failure[@message])"), "1");
  EXPECT_EQ(xpath("string(/testsuite/properties/property[@name=\"forced\"]/@value)"), "true");
}

TEST_F(ManageTest, GateTellsRegressionFromPassFromIgnorance) {
  Store store = write("s");
  const auto put = [&](const char* label, const char* task, int64_t n, double skill) {
    put_task(store, label, {.task = task, .documents = n, .groups = 0, .skill = skill});
  };
  // The same random numbers in both runs: a drop of skill turns right answers wrong, never back.
  put("a", "mmlu", 2000, 0.60);
  put("b", "mmlu", 2000, 0.50);   // ten points down
  put("a", "gsm8k", 2000, 0.50);
  put("b", "gsm8k", 2000, 0.51);  // up
  put("a", "humaneval", 30, 0.5);
  put("b", "humaneval", 30, 0.42);  // a few of thirty: unknown
  GateRules rules;
  GateResult result = gate(store, rules);
  EXPECT_EQ(result.status, GateStatus::regression);
  EXPECT_EQ(result.exit_code(), 1);
  const auto status = [&](const std::string& task) {
    for (const GateRow& row : result.rows)
      if (row.name.starts_with(task)) return row.status;
    ADD_FAILURE() << task;
    return GateStatus::pass;
  };
  EXPECT_EQ(status("mmlu"), GateStatus::regression);
  EXPECT_EQ(status("gsm8k"), GateStatus::pass);
  EXPECT_EQ(status("humaneval"), GateStatus::inconclusive);
  EXPECT_NE(gate_junit(result).find("failures=\"1\" errors=\"0\" skipped=\"1\""), std::string::npos);

  rules.allow["mmlu"] = "a known loss";
  result = gate(store, rules);
  EXPECT_EQ(status("mmlu"), GateStatus::allowed);
  EXPECT_EQ(result.exit_code(), 10);  // humaneval remains

  CompareOptions only;
  only.tasks = {"gsm8k"};
  EXPECT_EQ(gate(store, rules, only).exit_code(), 0);
  GateRules floor;
  floor.rules = {{.task = "gsm8k", .category = "", .margin = 1.0, .floor = 90.0}};
  EXPECT_EQ(gate(store, floor, only).exit_code(), 1);

  // Checkpoint noise of five points makes the drop of ten unclear.
  const Comparison comparison =
      compare(store, find_run(store, "a"), find_run(store, "b"), {}, Workers(1));
  const GateResult noisy = judge_gate(comparison, {}, {{"mmlu", {0.05, 100}}});
  EXPECT_EQ(noisy.rows[0].status, GateStatus::inconclusive);
}

TEST_F(ManageTest, GateRulesAreReadStrictly) {
  write_file_atomically(file("good.json"),
                        R"({"alpha": 0.01, "rules": [{"task": "mmlu", "margin": 0.5, "floor": 60},
                            {"category": "Math", "average": true}],
                            "allow": [{"task": "piqa", "reason": "why"}]})");
  const GateRules rules = load_gate_rules(file("good.json"));
  EXPECT_EQ(rules.alpha, 0.01);
  EXPECT_EQ(rules.rules.size(), 2u);
  EXPECT_EQ(*rules.rules[0].floor, 60);
  EXPECT_EQ(rules.allow.at("piqa"), "why");
  for (const char* bad : {R"({"rules": [{"tsak": "mmlu"}]})", R"({"alpha": 2})",
                          R"({"rules": [{"task": "a", "category": "b"}]})",
                          R"({"rules": [{"task": "a", "margin": -1}]})",
                          R"({"allow": [{"task": "a"}]})"}) {
    write_file_atomically(file("bad.json"), bad);
    EXPECT_NE(error_of([&] { load_gate_rules(file("bad.json")); }).find("bad.json"),
              std::string::npos)
        << bad;
  }
}

TEST(SeriesNoise, IsTheSpreadAboutTheLine) {
  // y = 2x exactly: no noise. Alternating +-1 about y = x over 1..6: residuals of the least-squares
  // line, worked out by hand: slope 1 - 6/35, variance sum / 4.
  const std::vector<double> x = {1, 2, 3, 4, 5, 6}, line = {2, 4, 6, 8, 10, 12};
  EXPECT_NEAR(*detrended_noise(x, line), 0, 1e-12);
  std::vector<double> y;
  for (size_t i = 0; i < 6; ++i) y.push_back(x[i] + (i % 2 == 0 ? 1.0 : -1.0));
  // e_i = +-1 has mean 0; its covariance with x is -3, sum of squares of x about 3.5 is 17.5.
  EXPECT_NEAR(*detrended_noise(x, y), std::sqrt((6 - 9.0 / 17.5) / 4), 1e-12);
  EXPECT_FALSE(detrended_noise(std::vector<double>{1, 2, 3}, std::vector<double>{1, 2, 3}));
}

TEST_F(ManageTest, SeriesOrderCheckpointsAndRefuseUnknownSteps) {
  Store store = write("s");
  for (const int64_t step : {600, 40, 1201, 900, 300}) {
    Shape shape{.documents = 400, .skill = 0.25 + static_cast<double>(step) / 4000, .seed = 5};
    char name[64];
    std::snprintf(name, sizeof(name), "base-step-%06d", static_cast<int>(step));
    synthetic::store_run(store, shape, name, step);
  }
  const auto series = build_series(store, list_runs(store));
  ASSERT_EQ(series.size(), 1u);
  EXPECT_EQ(series[0].name, "base");
  ASSERT_EQ(series[0].points.size(), 5u);
  EXPECT_EQ(*series[0].points.front().step, 40);
  EXPECT_EQ(*series[0].points.back().step, 1201);
  ASSERT_TRUE(series[0].noise.has_value());
  EXPECT_GT(*series[0].signal_to_noise, 3);  // skill rises by 29 points
  EXPECT_EQ(checkpoint_noise(series).count("mmlu"), 1u);
  json::Document::parse(series_json(series), "series");
  synthetic::store_run(store, {}, "no step");
  EXPECT_NE(error_of([&] { build_series(store, list_runs(store)); }).find("no step"),
            std::string::npos);
}

TEST_F(ManageTest, ExportReadsBack) {
  Store store = write("s");
  const Shape shape{.documents = 12};
  synthetic::store_run(store, shape, "a, \"quoted\"");
  const auto runs = list_runs(store);
  std::ostringstream csv;
  export_rows(store, runs, ExportKind::options, ExportFormat::csv, csv);
  const auto rows = parse_csv(csv.str(), "export");
  ASSERT_EQ(rows.size(), 1u + 12 * 4);
  EXPECT_EQ(rows[0].cells[0], "label");
  EXPECT_EQ(rows[1].cells[0], "a, \"quoted\"");
  EXPECT_EQ(rows[1].cells[4], synthetic::item(shape, 0).context);
  for (const ExportKind kind : {ExportKind::scores, ExportKind::documents, ExportKind::options,
                                ExportKind::generations, ExportKind::experts}) {
    std::ostringstream lines;
    export_rows(store, runs, kind, ExportFormat::jsonl, lines);
    size_t count = 0;
    json::for_each_line(lines.str(), "export", [&](json::Value line, size_t) {
      EXPECT_TRUE(line.is_object());
      ++count;
    });
    if (kind == ExportKind::documents) {
      EXPECT_EQ(count, 12u * 2);  // two metrics
    }
  }
}

TEST_F(ManageTest, MergeCopiesWhatIsMissingAndNamesConflicts) {
  Shape mmlu{.documents = 50}, gsm8k{.task = "gsm8k", .documents = 20, .groups = 0, .generate = true};
  std::string wanted;
  {
    Store whole = write("whole");
    synthetic::store_run(whole, mmlu, "a");
    wanted = whole.content_digest(synthetic::store_run(whole, gsm8k, "a").run);
  }
  {
    Store one = write("one"), two = write("two");
    synthetic::store_run(one, {.task = "piqa", .documents = 9}, "other");  // other row numbers
    synthetic::store_run(one, mmlu, "a");
    synthetic::store_run(two, gsm8k, "a");
    // In `two`, the other task was interrupted.
    const auto half = synthetic::begin(two, mmlu, "a");
    two.put_item(half.evaluation, synthetic::item(mmlu, 0));
    two.commit();
  }
  Store target = write("target");
  EXPECT_EQ(merge(target, file("two")).evaluations, 2);
  const MergeReport report = merge(target, file("one"));
  EXPECT_EQ(report.completed, 1);
  EXPECT_EQ(merge(target, file("one")).present, 2);  // a second time changes nothing
  EXPECT_EQ(target.content_digest(find_run(target, "a").id), wanted);
  int64_t orphans = -1;
  target.database().for_each_row(
      "SELECT count(*) FROM pragma_foreign_key_check", [](auto&) {},
      [&](auto& q) { orphans = q.getColumn(0).getInt64(); });
  EXPECT_EQ(orphans, 0);

  {
    Store conflict = write("conflict");
    mmlu.seed = 99;
    synthetic::store_run(conflict, mmlu, "a");
  }
  const std::string message = error_of([&] { merge(target, file("conflict")); });
  EXPECT_NE(message.find("a mmlu@ds"), std::string::npos) << message;
  EXPECT_EQ(target.content_digest(find_run(target, "a").id), wanted);
}

TEST_F(ManageTest, RemovalGivesSpaceBackAndKeepsTheRest) {
  Store store = write("s");
  const Shape shape{.documents = 2000, .groups = 10};
  const auto kept = synthetic::store_run(store, {.documents = 50, .groups = 2}, "kept");
  const std::string digest = store.content_digest(kept.run);
  const auto gone = synthetic::store_run(store, shape, "gone");
  remove_run(store, gone.run);
  const VacuumReport report = vacuum(store);
  EXPECT_LT(report.bytes_after, report.bytes_before / 2);
  EXPECT_GT(report.texts, 1000);
  EXPECT_EQ(report.models, 1);
  EXPECT_EQ(store.content_digest(kept.run), digest);
  EXPECT_NE(error_of([&] { remove_run(store, gone.run); }).find("no run"), std::string::npos);
  EXPECT_EQ(item_detail(store, kept.evaluation, 7).item.context,
            synthetic::item({.documents = 50, .groups = 2}, 7).context);
}

TEST_F(ManageTest, ImportsSampleLogsOfBothLayouts) {
  // Two documents as lm-evaluation-harness 0.4 writes them: strings for numbers and named arguments
  // (newer), lists and numbers (older); a generation with two filters.
  write_file_atomically(
      file("samples_piqa_2025-01-31T12-00-00.000000.jsonl"),
      R"({"doc_id": 0, "doc": {"goal": "g"}, "target": "1", "arguments": {"gen_args_0": {"arg_0": "Q: g\nA:", "arg_1": " one"}, "gen_args_1": {"arg_0": "Q: g\nA:", "arg_1": " two"}}, "resps": [[["-4.5", "False"]], [["-2.25", "True"]]], "filtered_resps": [["-4.5", "False"], ["-2.25", "True"]], "filter": "none", "metrics": ["acc"], "doc_hash": "aa", "acc": 1.0})"
      "\n"
      R"({"doc_id": 1, "doc": {"goal": "h"}, "target": 0, "arguments": [["Q: h\nA:", " x"], ["Q: h\nA:", " y"]], "resps": [[[-1.0, false]], [[-0.5, false]]], "filtered_resps": [[-1.0, false], [-0.5, false]], "doc_hash": "bb", "acc": 0.0})"
      "\n");
  write_file_atomically(
      file("samples_gsm8k_2025-01-31T12-00-00.000000.jsonl"),
      R"({"doc_id": 0, "doc": {}, "target": "#### 4", "arguments": {"gen_args_0": {"arg_0": "2+2", "arg_1": {"until": ["Q"]}}}, "resps": [["it is 4"]], "filtered_resps": ["4"], "filter": "strict-match", "metrics": ["exact_match"], "doc_hash": "cc", "exact_match": 0.0})"
      "\n"
      R"({"doc_id": 0, "doc": {}, "target": "#### 4", "arguments": {"gen_args_0": {"arg_0": "2+2", "arg_1": {"until": ["Q"]}}}, "resps": [["it is 4"]], "filtered_resps": ["4"], "filter": "flexible-extract", "metrics": ["exact_match"], "doc_hash": "cc", "exact_match": 1.0})"
      "\n");
  Store store = write("s");
  const ImportReport report = import_logs(store, folder_.path(), "theirs");
  EXPECT_EQ(report.files, 2);
  EXPECT_EQ(report.documents, 3);
  const auto evaluations = list_evaluations(store, find_run(store, "theirs").id);
  ASSERT_EQ(evaluations.size(), 2u);
  EXPECT_EQ(evaluations[0].identity.task, "lmeval:gsm8k");
  EXPECT_EQ(metric_names(store, evaluations[0].id),
            (std::vector<std::string>{"exact_match,flexible-extract", "exact_match,strict-match"}));
  EXPECT_DOUBLE_EQ(evaluations[1].headline->value, 0.5);
  const ItemDetail first = item_detail(store, evaluations[1].id, 0);
  ASSERT_EQ(first.options.size(), 2u);
  EXPECT_EQ(*first.options[1].logprob, -2.25);
  EXPECT_TRUE(first.options[1].greedy);
  EXPECT_EQ(first.options[1].continuation, " two");
  EXPECT_EQ(first.item.context, "Q: g\nA:");
  write_file_atomically(file("samples_bad_2025.jsonl"), "{\"doc_id\": 0}\n");
  EXPECT_NE(error_of([&] { import_logs(store, file("samples_bad_2025.jsonl"), "x"); })
                .find("samples_bad_2025.jsonl:1"),
            std::string::npos);
}

TEST_F(ManageTest, ImportsOlmesAndOpenCompass) {
  std::filesystem::create_directories(file("olmes"));
  write_file_atomically(
      file("olmes") / "task-000-arc_easy-predictions.jsonl",
      R"({"doc_id": 0, "native_id": "M_1", "metrics": {"predicted_index_raw": 1, "acc_raw": 1, "acc_per_char": 0, "correct_choice": 1}, "model_output": [{"sum_logits": -7.5, "num_tokens": 3, "num_chars": 12, "is_greedy": false}, {"sum_logits": -2.25, "num_tokens": 1, "num_chars": 4, "is_greedy": true}], "label": 1})"
      "\n"
      R"({"doc_id": 1, "native_id": "M_2", "metrics": {"acc_raw": 0, "acc_per_char": 0}, "model_output": [], "label": 0})"
      "\n");
  std::filesystem::create_directories(file("oc") / "predictions" / "model");
  write_file_atomically(
      file("oc") / "predictions" / "model" / "piqa.json",
      R"({"0": {"in-context examples": "", "origin_prompt": "Q", "label: 0": {"testing input": "Q a", "prompt": "Q a", "PPL": 2.5}, "label: 1": {"testing input": "Q b", "prompt": "Q b", "PPL": 2.25}, "prediction": 1, "gold": 1},
          "1": {"label: 0": {"prompt": "R a", "PPL": 1.0}, "label: 1": {"prompt": "R b", "PPL": 2.0}, "prediction": 0, "gold": 1}})");
  write_file_atomically(
      file("oc") / "predictions" / "model" / "gsm8k.json",
      R"({"0": {"origin_prompt": [{"role": "HUMAN", "prompt": "2+2?"}], "prediction": " 4", "gold": ["4", "four"]}})");
  Store store = write("s");
  EXPECT_EQ(import_logs(store, file("olmes"), "o").harness, "OLMES");
  EXPECT_EQ(import_logs(store, file("oc"), "c").documents, 3);
  const auto olmes = list_evaluations(store, find_run(store, "o").id);
  ASSERT_EQ(olmes.size(), 1u);
  EXPECT_EQ(olmes[0].identity.task, "olmes:arc_easy");
  EXPECT_EQ(olmes[0].description.primary_metric, "acc_raw");
  EXPECT_DOUBLE_EQ(olmes[0].headline->value, 0.5);
  EXPECT_EQ(metric_names(store, olmes[0].id), (std::vector<std::string>{"acc_per_char", "acc_raw"}));
  EXPECT_EQ(*item_detail(store, olmes[0].id, 0).options[0].logprob, -7.5);
  const auto oc = list_evaluations(store, find_run(store, "c").id);
  ASSERT_EQ(oc.size(), 2u);
  EXPECT_EQ(oc[0].identity.task, "opencompass:gsm8k");
  EXPECT_DOUBLE_EQ(oc[0].headline->value, 1);
  EXPECT_EQ(item_detail(store, oc[0].id, 0).item.context, "2+2?");
  EXPECT_DOUBLE_EQ(oc[1].headline->value, 0.5);
  EXPECT_EQ(*item_detail(store, oc[1].id, 0).options[1].whole_loss, 2.25);
  // A bad file is named and leaves nothing behind; another harness's files are not mixed in.
  write_file_atomically(file("oc") / "predictions" / "model" / "z.json", R"({"0": {"prediction": 1}})");
  EXPECT_NE(error_of([&] { import_logs(store, file("oc"), "d"); }).find("z.json"), std::string::npos);
  EXPECT_EQ(list_runs(store).size(), 2u);
  EXPECT_NE(error_of([&] { import_logs(store, folder_.path(), "d"); }).find("several harnesses"),
            std::string::npos);
  EXPECT_NE(error_of([&] { import_logs(store, file("s"), "d"); }).find("predictions/MODEL"),
            std::string::npos);
}

// An example as simple-evals renders it (its template HTML_JINJA, escaped by Jinja).
std::string rendered(const std::string& question, const std::string& answer,
                     const std::string& gold, const std::string& extracted,
                     const std::string& score) {
  const auto message = [](const std::string& role, const std::string& text) {
    return "\n<div class=\"message " + role + "\">\n    <div class=\"role\">\n    " + role +
           "\n    \n    </div>\n    <div class=\"content\">\n    <pre>" + text +
           "</pre>\n    </div>\n</div>\n";
  };
  return "\n<h3>Prompt conversation</h3>\n" + message("user", question) +
         "\n<h3>Sampled message</h3>\n" + message("assistant", answer) +
         "\n<h3>Results</h3>\n<p>Correct Answer: " + gold +
         "</p>\n<p>Extracted Answer: " + extracted + "</p>\n<p>Score: " + score + "</p>\n";
}

TEST_F(ManageTest, ImportsSimpleEvals) {
  const std::string examples[] = {
      rendered("Is 1 &lt; 2 &amp;&amp; &#34;x&#34; != &#39;y&#39;?\n\nA) yes\nB) no",
               "So.\nAnswer: A", "A", "A", "True"),
      rendered("Which?", "&lt;hr&gt;", "B", "None", "0.0"),
      rendered("How many?", "3.5", "3.5", "3.5", "1.0")};
  json::Writer out;
  out.begin_object().member("score", 0.66).key("metrics").begin_object().end_object();
  out.key("htmls").begin_array();
  for (const std::string& example : examples) out.value(example);
  out.end_array().key("convos").begin_array().end_array().end_object();
  std::filesystem::create_directories(file("new"));
  std::filesystem::create_directories(file("old"));
  write_file_atomically(file("new") / "mmlu_gpt-4o_assistant_20250401_120000_allresults.json",
                        out.take());
  std::string page = "<!DOCTYPE html>\n<html>\n    <body>\n    \n    <h1>Examples</h1>\n    ";
  for (const std::string& example : examples) page += "\n    " + example + "\n    <hr>\n    ";
  page += "\n    </body>\n</html>\n";
  // Newer versions write the report beside the results: it is the same evaluation, not a second
  // one.
  write_file_atomically(file("new") / "mmlu_gpt-4o_assistant_20250401_120000.html", page);
  write_file_atomically(file("old") / "mmlu_gpt-4o.html", page);
  Store store = write("s");
  const ImportReport report = import_logs(store, file("new"), "new");
  EXPECT_EQ(report.harness, "simple-evals");
  EXPECT_EQ(report.files, 1);
  EXPECT_EQ(import_logs(store, file("old"), "old").documents, 3);
  const auto a = list_evaluations(store, find_run(store, "new").id);
  const auto b = list_evaluations(store, find_run(store, "old").id);
  ASSERT_EQ(a.size(), 1u);
  ASSERT_EQ(b.size(), 1u);
  EXPECT_EQ(a[0].identity.task, "simple-evals:mmlu");
  EXPECT_EQ(a[0].digest, b[0].digest);  // the same examples, read from either file
  EXPECT_DOUBLE_EQ(a[0].headline->value, 2.0 / 3);
  const ItemDetail first = item_detail(store, a[0].id, 0);
  EXPECT_EQ(first.item.context, "user: Is 1 < 2 && \"x\" != 'y'?\n\nA) yes\nB) no");
  EXPECT_EQ(first.item.document.gold, "A");
  ASSERT_EQ(first.generations.size(), 1u);
  EXPECT_EQ(first.generations[0].text, "So.\nAnswer: A");
  EXPECT_EQ(item_detail(store, a[0].id, 1).generations[0].text, "<hr>");
  write_file_atomically(file("bad_x_allresults.json"), R"({"htmls": ["<h2>Rubrics</h2>"]})");
  EXPECT_NE(error_of([&] {
              import_logs(store, file("bad_x_allresults.json"), "x");
            }).find("bad_x_allresults.json: example 0"),
            std::string::npos);
}

TEST_F(ManageTest, ImportsHelm) {
  const auto put = [&](const std::string& model, const char* right) {
    const auto run =
        file("helm") / model / ("mmlu:subject=anatomy,method=multiple_choice_joint,model=" + model);
    std::filesystem::create_directories(run);
    write_file_atomically(
        run / "instances.json",
        R"([{"input": {"text": "Which bone?"}, "references": [{"output": {"text": "femur"}, "tags": []}, {"output": {"text": "ulna"}, "tags": ["correct"]}], "split": "test", "id": "id7"}, {"input": {"text": "WHICH BONE?"}, "references": [], "id": "id7", "perturbation": {"name": "upper", "robustness": true}}])");
    write_file_atomically(
        run / "display_requests.json",
        R"([{"instance_id": "id7", "train_trial_index": 0, "request": {"model": "m", "prompt": "Question: Which bone?\nAnswer:", "temperature": 0.0}}])");
    write_file_atomically(
        run / "display_predictions.json",
        std::string(
            R"([{"instance_id": "id7", "predicted_text": " B", "train_trial_index": 0, "mapped_output": "ulna", "stats": {"num_output_tokens": 1.0, "quasi_exact_match": 1.0, "exact_match": )") +
            right +
            R"(}}, {"instance_id": "id8", "predicted_text": " A", "train_trial_index": 0, "stats": {"exact_match": 0.0}}, {"instance_id": "id7", "perturbation": {"name": "upper"}, "predicted_text": "?", "train_trial_index": 0, "stats": {"exact_match": 0.0}}])");
  };
  put("openai_gpt2", "1.0");
  put("other_model", "0.0");
  Store store = write("s");
  EXPECT_EQ(import_logs(store, file("helm") / "openai_gpt2", "a").harness, "HELM");
  EXPECT_EQ(import_logs(store, file("helm") / "other_model", "b").documents, 2);
  const auto a = list_evaluations(store, find_run(store, "a").id);
  const auto b = list_evaluations(store, find_run(store, "b").id);
  ASSERT_EQ(a.size(), 1u);
  EXPECT_EQ(a[0].identity.task, "helm:mmlu:subject=anatomy,method=multiple_choice_joint");
  EXPECT_EQ(a[0].digest, b[0].digest);  // one task, whatever the model
  EXPECT_EQ(a[0].description.primary_metric, "exact_match");
  EXPECT_EQ(metric_names(store, a[0].id),
            (std::vector<std::string>{"exact_match", "quasi_exact_match"}));
  EXPECT_DOUBLE_EQ(a[0].headline->value, 0.5);
  EXPECT_DOUBLE_EQ(b[0].headline->value, 0);
  const ItemDetail first = item_detail(store, a[0].id, 0);
  EXPECT_EQ(first.item.context, "Question: Which bone?\nAnswer:");
  EXPECT_EQ(first.item.document.gold, "ulna");
  EXPECT_EQ(first.generations[0].text, " B");
}

// The documents of `a`, judged by another headline metric in `b`.
TEST_F(ManageTest, ExplainTellsNormalisationBoundaryAndExtraction) {
  Store store = write("s");
  const auto put = [&](const char* label, const Shape& shape, const std::string& metric,
                       bool boundary) {
    const RunId run = store.begin_run(store.put_model(synthetic::model("m")),
                                      synthetic::run_identity(label), {});
    EvaluationIdentity identity = synthetic::evaluation_identity(shape);
    if (boundary) identity.boundary_policy = "split";
    EvaluationDescription description = synthetic::description(shape);
    description.primary_metric = metric;
    const EvaluationId e = store.begin_evaluation(run, identity, description);
    for (int64_t i = 0; i < shape.documents; ++i) {
      store.put_item(e, synthetic::item(shape, i));
      if (shape.generate) {
        GenerationRecord generation = synthetic::generation(shape, i);
        if (label[0] == 'b' && i % 2 == 0) generation.extracted += "!";
        store.put_generation(e, generation);
      }
      for (int k = 0; !shape.generate && k < shape.options; ++k) {
        OptionRecord option = synthetic::option(shape, i, k);
        if (boundary && i < 10) {
          option.tokens = 2;
          *option.logprob -= 1;
        }
        store.put_option(e, option);
      }
      const double right = synthetic::right(shape, i) ? 1 : 0;
      const double other = i % 3 == 0 ? 1 : right;
      store.put_grade(e, {i, {{"acc.sum", right, 1}, {"acc.token", other, 1},
                              {"em", generation_value(shape, label, i), 1}}, "", false, ""});
    }
    store.finish_evaluation(e);
    store.finish_run(run);
  };
  const auto parts = [&](const char* task) {
    std::map<std::string, ExplainPart> all;
    const Explanation e = explain(store, find_run(store, "a"), find_run(store, "b"), task);
    double sum = 0;
    for (const ExplainPart& part : e.parts) {
      all[part.stage] = part;
      sum += part.contribution;
    }
    EXPECT_NEAR(sum, e.value_b - e.value_a, 1e-12) << task;
    return all;
  };
  const Shape mmlu{.documents = 40};
  put("a", mmlu, "acc.sum", false);
  put("b", mmlu, "acc.token", true);
  auto all = parts("mmlu");
  int64_t changed = 0;
  for (int64_t i = 0; i < 40; i += 3) changed += !synthetic::right(mmlu, i);
  EXPECT_EQ(all["normalisation"].changed, changed);
  EXPECT_NEAR(all["normalisation"].contribution, static_cast<double>(changed) / 40, 1e-12);
  EXPECT_EQ(all["boundary"].documents, 10);

  const Shape gsm8k{.task = "gsm8k", .documents = 30, .groups = 0, .generate = true};
  put("a", gsm8k, "em", false);
  put("b", gsm8k, "em", false);
  all = parts("gsm8k");
  EXPECT_EQ(all["extraction"].documents, 15);
  EXPECT_LT(all["extraction"].contribution, 0);
  EXPECT_EQ(all["the same"].documents, 15);
}

TEST_F(ManageTest, ExplainPartsAddUpToTheGap) {
  Store store = write("s");
  const Shape shape{.documents = 60, .groups = 3, .seed = 1};
  Shape other = shape;
  other.seed = 2;
  synthetic::store_run(store, shape, "a");
  const auto b = synthetic::begin(store, other, "b");
  for (int64_t i = 0; i < shape.documents; ++i) {
    ItemRecord item = synthetic::item(other, i);
    if (i < 20) item.context = "Another exemplar.\n\n" + item.context;  // the same question
    if (i >= 20 && i < 30) item.context += " Think.";                   // another template
    store.put_item(b.evaluation, item);
    for (int k = 0; k < 4; ++k)
      store.put_option(b.evaluation, synthetic::option(i < 45 ? other : shape, i, k));
    store.put_grade(b.evaluation, synthetic::grade(other, i));
  }
  store.finish_evaluation(b.evaluation);
  store.finish_run(b.run);
  const Explanation e =
      explain(store, find_run(store, "a"), find_run(store, "b"), "mmlu");
  double sum = 0;
  int64_t documents = 0;
  std::map<std::string, int64_t> count;
  for (const ExplainPart& part : e.parts) {
    sum += part.contribution;
    documents += part.documents;
    count[part.stage] = part.documents;
  }
  EXPECT_NEAR(sum, e.value_b - e.value_a, 1e-12);
  EXPECT_EQ(documents, 60);
  EXPECT_EQ(count["exemplars"], 20);
  EXPECT_EQ(count["template"], 10);
  // From 45 on the outputs are A's own, so only the judging can differ.
  EXPECT_EQ(count["judging"] + count["the same"], 15 + (15 - count["checkpoint"]));
  EXPECT_NE(error_of([&] {
              explain(store, find_run(store, "a"), find_run(store, "b"), "piqa");
            }).find("mmlu@ds"),
            std::string::npos);
}

}  // namespace
}  // namespace assay::results
