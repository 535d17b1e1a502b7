// The HTML report: what models wrote stays text, on paper and in a real browser.
#include "results/report.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "synthetic_run.h"

namespace assay::results {
namespace {

using synthetic::Shape;

const std::string kAttacks[] = {
    "</script><script>document.documentElement.dataset.hacked=1</script>",
    "<img src=x onerror=\"document.documentElement.dataset.hacked=1\">",
    "<!--<script>",
    "{{script}} {{items}}",
    "\xff\xfe\x80 broken",
    std::string("nul \0 inside", 12),
    "\x1b[31m\x07 control",
    "' onmouseover='document.documentElement.dataset.hacked=1",
    "\xe2\x80\xae reversed \xe2\x80\xa8 separator",
};

// Two runs whose every text is an attack, with labels and titles among them.
std::vector<RunSummary> store_attacks(Store& store) {
  for (const std::string& label : {"run " + kAttacks[0], "b " + kAttacks[1]}) {
    ModelRecord model = synthetic::model(label, label[0] == 'r' ? 100 : 200);
    const RunId run = store.begin_run(store.put_model(model), synthetic::run_identity(label),
                                      {"assay run " + kAttacks[0], "{}"});
    Shape shape{
        .task = "humaneval", .documents = 18, .groups = 0, .seed = label.size(), .generate = true};
    EvaluationDescription description = synthetic::description(shape);
    description.title = kAttacks[1];
    description.category = kAttacks[0];
    description.deviations = {kAttacks[0]};
    const EvaluationId e =
        store.begin_evaluation(run, synthetic::evaluation_identity(shape), description);
    for (int64_t i = 0; i < shape.documents; ++i) {
      const std::string& attack = kAttacks[static_cast<size_t>(i) % std::size(kAttacks)];
      ItemRecord item = synthetic::item(shape, i);
      item.document.item_id += attack;
      item.document.group = attack;
      item.document.gold = attack;
      item.context += attack;
      store.put_item(e, item);
      OptionRecord option = synthetic::option(shape, i, 0);
      option.continuation = attack;
      store.put_option(e, option);
      GenerationRecord generation = synthetic::generation(shape, i);
      generation.text = attack;
      generation.extracted = attack;
      store.put_generation(e, generation);
      store.put_execution(e, {i, 0, 0, "wrong_answer", attack, "full", 1, 1, 1, "{}"});
      GradeRecord grade = synthetic::grade(shape, i);
      grade.predicted = attack;
      store.put_grade(e, grade);
      store.add_expert_load(e, synthetic::load(i));
    }
    store.finish_evaluation(e);
    store.finish_run(run);
  }
  return list_runs(store);
}

size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Report, HostileTextIsInertInABrowser) {
  TemporaryDirectory folder{"assay-report-test"};
  Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  const auto runs = store_attacks(store);
  ReportOptions options;
  options.title = "Report " + kAttacks[0];
  const std::string page = html_report(store, runs, options, Workers(1));
  // The page's own elements and nothing else; no byte that is not UTF-8.
  EXPECT_EQ(occurrences(page, "<script"), 4u);  // data, one task's documents, Chart.js, the page's own
  EXPECT_EQ(occurrences(page, "</script"), 4u);
  EXPECT_EQ(page.find('\0'), std::string::npos);
  EXPECT_EQ(page.find("onerror=\"document"), std::string::npos);
  // The summary is JSON.
  const size_t begin = page.find('>', page.find("id=\"summary-data\"")) + 1;
  json::Document::parse(page.substr(begin, page.find("</script>", begin) - begin), "summary");
  EXPECT_EQ(occurrences(page, "http://"), 0u + occurrences(page, "http://www.w3.org"));

  if (std::system("command -v chromium > /dev/null 2>&1") != 0)
    GTEST_SKIP() << "chromium is not installed: the page was checked as text only";
  const auto file = folder.path() / "report.html", dom = folder.path() / "dom.html";
  write_file_atomically(file, page);
  const std::string command = "HOME='" + folder.path().string() +
                              "' timeout 120 chromium --headless --no-sandbox "
                              "--disable-gpu --virtual-time-budget=8000 --dump-dom 'file://" +
                              file.string() + "' > '" + dom.string() + "' 2> /dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string shown = read_file(dom);
  const std::string head = shown.substr(0, shown.find("<head"));
  EXPECT_NE(head.find("data-ready="), std::string::npos) << head;
  EXPECT_EQ(head.find("data-hacked"), std::string::npos) << head;
  EXPECT_EQ(occurrences(shown, "<img"), 0u);
  EXPECT_NE(shown.find("18 of 18 documents"), std::string::npos);
  EXPECT_NE(shown.find("\xe2\x90\x80"), std::string::npos) << "NUL is shown as its picture";
}

TEST(Report, KeepsItsPromisesAboutSize) {
  TemporaryDirectory folder{"assay-report-test"};
  Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  const Shape shape{.documents = 300};
  synthetic::store_run(store, shape, "a");
  const auto runs = list_runs(store);
  const size_t all = html_report(store, runs, {}, Workers(1)).size();
  ReportOptions few;
  few.most_items = 30;
  EXPECT_LT(html_report(store, runs, few, Workers(1)).size(), all);
}

}  // namespace
}  // namespace assay::results
