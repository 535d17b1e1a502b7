#include "results/table.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "results/base_table.h"
#include "results/csv.h"
#include "results/published.h"
#include "synthetic_run.h"

namespace assay::results {
namespace {

const std::string kHostile =
    std::string("a\0b", 3) +
    " \x1b[31m\x07 <script>alert(1)</script> & \"q\" 'q' \\input{x} $x_1^2$ #% ~ {} "
    "| `c` *b* [l](u) \xff\xfe 汉 é \r\n end,\"csv\"";

Table hostile_table() {
  Table table;
  table.title = kHostile;
  table.columns = {{kHostile, Align::left}, {"score " + kHostile}};
  table.rows = {{kHostile, {}}, {"", {{kHostile}, {kHostile, true, Tone::good}}}};
  table.notes = {kHostile};
  return table;
}

TEST(Render, TerminalIsSafeAndFits) {
  for (const size_t width : {40u, 80u, 120u}) {
    const std::string text = render(hostile_table(), Format::terminal, {.width = width});
    size_t at = 0;
    while (at < text.size()) {
      const size_t end = text.find('\n', at);
      const std::string line = text.substr(at, end - at);
      EXPECT_LE(utf8::display_width(line), width) << line;
      EXPECT_TRUE(utf8::is_valid(line));
      for (const char c : line) EXPECT_GE(static_cast<uint8_t>(c), 0x20);
      at = end + 1;
    }
  }
}

TEST(Render, ManyColumnsBecomeBlocks) {
  Table table;
  table.columns.push_back({"task", Align::left});
  TableRow row{"", {{"mmlu"}}};
  for (int c = 0; c < 30; ++c) {
    table.columns.push_back({"run-" + std::to_string(c)});
    row.cells.push_back({"value-" + std::to_string(c)});
  }
  table.rows.push_back(row);
  const std::string text = render(table, Format::terminal);
  for (int c = 0; c < 30; ++c)
    EXPECT_NE(text.find("value-" + std::to_string(c)), std::string::npos);
  size_t blocks = 0;
  for (size_t at = text.find("mmlu"); at != std::string::npos; at = text.find("mmlu", at + 1))
    ++blocks;
  EXPECT_EQ(blocks, 5u);  // seven columns of eight with gaps beside "task" in 80
}

TEST(Render, CsvReadsBackExactly) {
  const auto rows = parse_csv(render(hostile_table(), Format::csv), "csv");
  ASSERT_EQ(rows.size(), 2u);
  ASSERT_EQ(rows[1].cells.size(), 3u);
  EXPECT_EQ(rows[1].cells[0], utf8::sanitized(kHostile));
  EXPECT_EQ(rows[1].cells[2], utf8::sanitized(kHostile));
}

TEST(Csv, ReadsWhatRfc4180Allows) {
  const auto rows = parse_csv("a,\"b \"\"q\"\"\n,c\"\r\n\r\n,\n\"\",x", "f.csv");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].cells, (std::vector<std::string>{"a", "b \"q\"\n,c"}));
  EXPECT_EQ(rows[1].cells, (std::vector<std::string>{"", ""}));
  EXPECT_EQ(rows[2].line, 5u);
  EXPECT_THROW(parse_csv("a,\"b", "f.csv"), Error);
  EXPECT_THROW(parse_csv("\"b\"x,1", "f.csv"), Error);
}

TEST(Render, HtmlHoldsNoMarkupOfOthers) {
  const std::string text = render(hostile_table(), Format::html);
  EXPECT_EQ(text.find("<script"), std::string::npos);
  EXPECT_EQ(text.find('\0'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_TRUE(utf8::is_valid(text));
  EXPECT_NE(text.find("&lt;script&gt;"), std::string::npos);
}

TEST(Render, MarkdownKeepsItsColumns) {
  const std::string text = render(hostile_table(), Format::markdown);
  EXPECT_EQ(text.find("<script"), std::string::npos);
  // In the data line, only the three pipes of the table are not escaped.
  const size_t line = text.find("| a", text.find(":-- |"));
  const std::string data = text.substr(line, text.find('\n', line) - line);
  size_t pipes = 0;
  for (size_t i = 0; i < data.size(); ++i)
    if (data[i] == '|' && (i == 0 || data[i - 1] != '\\')) ++pipes;
  EXPECT_EQ(pipes, 3u) << data;
}

TEST(Render, LatexCompiles) {
  std::string body = render(hostile_table(), Format::latex);
  // What is never plain text in LaTeX appears only as the renderer's own commands.
  EXPECT_EQ(body.find("\\input"), std::string::npos);
  EXPECT_EQ(body.find("汉"), std::string::npos);
  if (std::system("command -v pdflatex > /dev/null 2>&1") != 0)
    GTEST_SKIP() << "pdflatex is not installed: escaping was checked, compiling was not";
  TemporaryDirectory folder;
  const Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  BaseTableOptions options;
  options.published = published_columns("published");
  body += "\n\n" + render(base_table(store, {}, options), Format::latex);
  write_file_atomically(folder.path() / "t.tex",
                        "\\documentclass{article}\\begin{document}\n" + body + "\\end{document}\n");
  const std::string command = "cd '" + folder.path().string() +
                              "' && pdflatex -interaction=nonstopmode -halt-on-error "
                              "-no-shell-escape t.tex > log.txt 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << read_file(folder.path() / "log.txt");
}

TEST(Numbers, AreShownAsPeopleReadThem) {
  EXPECT_EQ(fixed_text(-0.04, 1), "0.0");
  EXPECT_EQ(fixed_text(0.25, 1), "0.2");  // halves to even
  EXPECT_EQ(signed_text(1.25, 1), "+1.2");
  EXPECT_EQ(signed_text(-0.001, 1), "0.0");
  EXPECT_EQ(p_text(0.00002), "<0.001");
  EXPECT_EQ(p_text(1), "1");
}

TEST(Published, HoldsTheWholeTable) {
  ASSERT_EQ(published::benchmarks().size(), 32u);
  ASSERT_EQ(published::base_models().size(), 4u);
  for (const auto& model : published::base_models()) EXPECT_EQ(model.scores.size(), 32u);
  EXPECT_EQ(published::base_models()[3].name, "DeepSeek-V3-Base");
  EXPECT_DOUBLE_EQ(published::base_models()[3].find("MMLU")->value, 87.1);
  EXPECT_DOUBLE_EQ(published::base_models()[2].find("Pile-test")->value, 0.542);
  EXPECT_EQ(published::row_of_task("mmlu"), 2u);
  EXPECT_EQ(published::row_of_task("no such task"), 32u);
  ASSERT_EQ(published::ablations().size(), 2u);
  for (const auto& ablation : published::ablations()) EXPECT_EQ(ablation.columns.size(), 4u);
}

// Cell texts and boldness of a benchmark's row.
const TableRow* row_of(const Table& table, const std::string& name) {
  for (const TableRow& row : table.rows)
    if (!row.cells.empty() && row.cells[0].text.starts_with(name + " (")) return &row;
  return nullptr;
}

TEST(BaseTable, BoldFollowsTheReport) {
  TemporaryDirectory folder;
  const Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  BaseTableOptions options;
  options.published = published_columns("published");
  const Table table = base_table(store, {}, options);
  const auto bold = [&](const std::string& name) {
    std::string marks;
    for (size_t c = 2; c < 6; ++c) marks += row_of(table, name)->cells[c].bold ? 'B' : '-';
    return marks;
  };
  // Columns V2, Qwen, LLaMA, V3. README of DeepSeek-V3: 0.606 0.638 0.542 0.548; 88.8 86.5 ...
  EXPECT_EQ(bold("Pile-test"), "--B-");  // bits per byte: lower, no tie rule in percent
  EXPECT_EQ(bold("MMLU"), "---B");       // 78.4 85.0 84.4 87.1
  EXPECT_EQ(bold("HellaSwag"), "--BB");  // 87.1 84.8 89.2 88.9: a gap of exactly 0.3
  EXPECT_EQ(bold("HumanEval"), "---B");  // 43.3 53.0 54.9 65.2
}

// The 32 rows in the report's order under its categories, beside an own run, within 80 columns.
TEST(BaseTable, HasEveryRowInThePublishedOrder) {
  TemporaryDirectory folder;
  Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  synthetic::store_run(store, {.task = "mmlu", .documents = 20}, "base-step-001201");
  BaseTableOptions options;
  options.published = published_columns("published");
  const Table table = base_table(store, list_runs(store), options);
  std::vector<std::string> sections;
  size_t rows = 0;
  for (const TableRow& row : table.rows) {
    if (!row.section.empty()) {
      sections.push_back(row.section);
    } else if (!sections.empty()) {
      EXPECT_TRUE(row.cells[0].text.starts_with(published::benchmarks()[rows++].name + " ("));
    }
  }
  EXPECT_EQ(rows, 32u);
  EXPECT_EQ(sections, (std::vector<std::string>{"English", "Code", "Math", "Chinese", "Multilingual"}));
  const std::string text = render(table, Format::terminal);
  size_t lines = 0;
  for (size_t at = 0; at < text.size(); ++lines) {
    const size_t end = text.find('\n', at);
    EXPECT_LE(utf8::display_width(text.substr(at, end - at)), 80u);
    at = end + 1;
  }
  EXPECT_LT(lines, 60u) << "one block, not several:\n" << text;
}

TEST(BaseTable, MarksWhatIsUnlikeItsRow) {
  TemporaryDirectory folder;
  Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  synthetic::Shape shape{.task = "hellaswag", .documents = 20, .groups = 0};
  const RunId run = store.begin_run(store.put_model(synthetic::model("mine")),
                                    synthetic::run_identity("mine"), {});
  EvaluationIdentity identity = synthetic::evaluation_identity(shape);
  identity.variant = "lmeval";
  identity.limit = 20;
  EvaluationDescription description = synthetic::description(shape);
  description.population = 10042;
  const EvaluationId id = store.begin_evaluation(run, identity, description);
  synthetic::complete(store, {run, id}, shape, 20);
  const auto runs = list_runs(store);
  BaseTableOptions options;
  options.published = published_columns("DeepSeek-V3-Base");
  const Table table = base_table(store, runs, options);
  ASSERT_NE(row_of(table, "HellaSwag"), nullptr);
  std::string cell = row_of(table, "HellaSwag")->cells[3].text;
  EXPECT_TRUE(cell.ends_with("[a]")) << cell;
  EXPECT_EQ(table.notes.back(), "[a] @lmeval, 5-shot, n=20.");
  options.footnotes = false;
  cell = row_of(base_table(store, runs, options), "HellaSwag")->cells[3].text;
  EXPECT_NE(cell.find("@lmeval"), std::string::npos) << cell;
  EXPECT_NE(cell.find("5-shot"), std::string::npos) << cell;  // the row is 10-shot
  EXPECT_NE(cell.find("n=20"), std::string::npos) << cell;
  EXPECT_NE(row_of(table, "MMLU"), nullptr);
  options.only_measured = true;
  EXPECT_EQ(row_of(base_table(store, runs, options), "MMLU"), nullptr);
}

TEST(BaseTable, AblationComparesPairs) {
  TemporaryDirectory folder;
  const Store store = Store::open(folder.path() / "s.sqlite", Store::Access::write);
  BaseTableOptions options;
  options.layout = TableLayout::ablation;
  options.published = published_columns("mtp");
  const Table table = base_table(store, {}, options);
  const TableRow* mmlu = row_of(table, "MMLU");  // small 50.0 / 53.3, large 67.5 / 66.6
  ASSERT_NE(mmlu, nullptr);
  EXPECT_FALSE(mmlu->cells[2].bold);
  EXPECT_TRUE(mmlu->cells[3].bold);
  EXPECT_TRUE(mmlu->cells[4].bold);
  EXPECT_FALSE(mmlu->cells[5].bold);
}

TEST(Baselines, ComeFromCsv) {
  TemporaryDirectory folder;
  const auto path = folder.path() / "mine.csv";
  write_file_atomically(path,
                        "benchmark,metric,shots,model,score\r\nmmlu,EM,5-shot,Ours,70.5\r\n"
                        "HellaSwag,EM,10-shot,Ours,80\r\n");
  const auto columns = published_columns(path.string());
  ASSERT_EQ(columns.size(), 1u);
  EXPECT_DOUBLE_EQ(columns[0].find("MMLU")->value, 70.5);
  write_file_atomically(path, "benchmark,model,score\nmmlu,Ours,seventy\n");
  try {
    published_columns(path.string());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("mine.csv:2"), std::string::npos) << error.what();
  }
  EXPECT_THROW(published_columns("no such thing"), Error);
}

}  // namespace
}  // namespace assay::results
