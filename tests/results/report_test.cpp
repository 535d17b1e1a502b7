// The HTML report: what models wrote stays text, on paper and in a real browser.
#include "results/report.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "results/embedded.h"
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

bool has_browser() { return std::system("command -v chromium > /dev/null 2>&1") == 0; }

// What the page has become after its scripts have run.
std::string in_browser(const std::filesystem::path& folder, const std::string& page) {
  const auto file = folder / "report.html", dom = folder / "dom.html";
  write_file_atomically(file, page);
  const std::string command = "HOME='" + folder.string() +
                              "' timeout 120 chromium --headless --no-sandbox "
                              "--disable-gpu --virtual-time-budget=8000 --dump-dom 'file://" +
                              file.string() + "' > '" + dom.string() + "' 2> /dev/null";
  EXPECT_EQ(std::system(command.c_str()), 0);
  return read_file(dom);
}

TEST(Report, HostileTextIsInertInABrowser) {
  TemporaryDirectory folder{"assay-report-test"};
  Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  const auto runs = store_attacks(store);
  ReportOptions options;
  options.title = "Report " + kAttacks[0];
  const std::string page = html_report(store, runs, options, Workers(1));
  // The page's own elements and nothing else; no byte that is not UTF-8.
  std::string own = page;
  for (const char* library : {"jquery.min.js", "jquery.dataTables.min.js", "chart.min.js"}) {
    const std::string_view text = embedded_file(library);
    const size_t at = own.find(text);
    ASSERT_NE(at, std::string::npos) << library;
    own.erase(at, text.size());
  }
  // Data, one task's documents, three libraries, the page's own.
  EXPECT_EQ(occurrences(own, "<script"), 6u);
  EXPECT_EQ(occurrences(own, "</script"), 6u);
  EXPECT_EQ(page.find('\0'), std::string::npos);
  EXPECT_EQ(page.find("onerror=\"document"), std::string::npos);
  // The summary is JSON.
  const size_t begin = page.find('>', page.find("id=\"summary-data\"")) + 1;
  json::Document::parse(page.substr(begin, page.find("</script>", begin) - begin), "summary");
  EXPECT_EQ(occurrences(own, "http://"), 0u + occurrences(own, "http://www.w3.org"));

  if (!has_browser())
    GTEST_SKIP() << "chromium is not installed: the page was checked as text only";
  const std::string shown = in_browser(folder.path(), page);
  const std::string head = shown.substr(0, shown.find("<head"));
  EXPECT_NE(head.find("data-ready="), std::string::npos) << head;
  EXPECT_EQ(head.find("data-hacked"), std::string::npos) << head;
  EXPECT_EQ(occurrences(shown, "<img"), 0u);
  EXPECT_NE(shown.find("18 of 18 documents"), std::string::npos);
  EXPECT_NE(shown.find("\xe2\x90\x80"), std::string::npos) << "NUL is shown as its picture";
}

// A reader's clicks, and what is on the page after each.
const std::string kReader = R"js(<script>
const seen = [], see = (what) => seen.push(what);
const tasks = (where) => [...document.querySelectorAll(where + ' tbody tr')].map((r) => r.firstChild.textContent).join();
const count = () => byId('item-count').textContent;
const pick = (label, option) => {
  const select = [...document.querySelectorAll('main label')].filter((l) => l.firstChild.textContent === label).at(-1).querySelector('select');
  select.value = [...select.options].find((o) => o.textContent === option).value;
  select.dispatchEvent(new Event('change'));
};
const type = (text) => {
  const box = document.querySelector('#item-controls input[type=search]');
  box.value = text;
  box.dispatchEvent(new Event('input'));
};
const later = (ms) => new Promise((done) => setTimeout(done, ms));
(async () => {
  while (!document.documentElement.dataset.ready) await later(20);
  see(tasks('#score-table'));
  const head = document.querySelectorAll('#score-table th')[1];
  head.click(); see(tasks('#score-table'));
  head.click(); see(tasks('#score-table'));
  document.querySelector('#score-table .unsort').click(); see(tasks('#score-table'));
  see(count());
  pick('show', 'changed from A to B'); see(count());
  see(document.querySelectorAll('#item-detail .options th').length);
  pick('show', 'all'); type('test:77'); await later(400); see(count());
  type('no such text'); await later(400); see(count());
  document.body.innerHTML = '<pre id="seen">' + seen.join('\n') + '\n</pre>';
})();
</script>)js";

TEST(Report, TablesSortAndDocumentsAreFound) {
  if (!has_browser()) GTEST_SKIP() << "chromium is not installed";
  TemporaryDirectory folder{"assay-report-test"};
  Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  const Shape shapes[] = {{.documents = 200, .groups = 0, .skill = 0.3},
                          {.task = "hellaswag", .documents = 100, .groups = 0, .skill = 0.9}};
  int64_t changed = 0;
  for (const char* label : {"a", "b"}) {
    for (Shape shape : shapes) {
      shape.seed = label[0] == 'a' ? 5 : 6;
      const synthetic::Stored stored = synthetic::begin(store, shape, label);
      synthetic::complete(store, stored, shape, 100);
    }
  }
  Shape a = shapes[0], b = shapes[0];
  a.seed = 5;
  b.seed = 6;
  for (int64_t i = 0; i < 200; ++i) changed += synthetic::right(a, i) != synthetic::right(b, i);
  const std::string page = html_report(store, list_runs(store), {}, Workers(1));
  const std::string shown = in_browser(folder.path(), page + kReader);
  const std::string begin = "<pre id=\"seen\">";
  const size_t at = shown.find(begin);
  ASSERT_NE(at, std::string::npos) << shown.substr(0, 3000);
  EXPECT_EQ(
      shown.substr(at + begin.size(), shown.find("</pre>", at) - at - begin.size()),
      "English,mmlu 5-shot,hellaswag 5-shot\n"
      "hellaswag 5-shot,mmlu 5-shot\n"  // by score, highest first
      "mmlu 5-shot,hellaswag 5-shot\n"  // turned round
      "English,mmlu 5-shot,hellaswag 5-shot\n"
      "200 of 200 documents\n" +
          std::to_string(changed) + " of 200 documents\n" +
          "5\n"  // both runs side by side: option, and of each log-probability and that a token
          "1 of 200 documents\n"
          "0 of 200 documents\n");
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
  // The page without documents is the rest; the documents keep to their share.
  ReportOptions none;
  none.most_items = 0;
  const size_t rest = html_report(store, runs, none, Workers(1)).size();
  ReportOptions small;
  small.most_bytes = 2000;
  const size_t bounded = html_report(store, runs, small, Workers(1)).size();
  EXPECT_LT(bounded, rest + 2000);
  EXPECT_GT(bounded, rest);
}

}  // namespace
}  // namespace assay::results
