#include "results/published.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "results/csv.h"
#include "results/embedded.h"

namespace assay::results::published {
namespace {

constexpr std::string_view kReport = "DeepSeek-V3 technical report, arXiv 2412.19437";

// Rows of a CSV by column name.
class Sheet {
 public:
  Sheet(std::string_view text, std::string where)
      : where_(std::move(where)), rows_(parse_csv(text, where_)) {
    if (rows_.empty()) throw_bad_input("the file is empty", where_, "it needs a header line");
    for (size_t i = 0; i < rows_[0].cells.size(); ++i)
      columns_[std::string(utf8::strip(rows_[0].cells[i]))] = i;
  }
  size_t size() const { return rows_.size() - 1; }
  bool has(const std::string& column) const { return columns_.contains(column); }
  std::string place(size_t row) const { return where_ + ":" + std::to_string(rows_[row + 1].line); }
  std::string text(size_t row, const std::string& column) const {
    const auto found = columns_.find(column);
    if (found == columns_.end())
      throw_bad_input("no column " + column, where_,
                      "the header must be benchmark,metric,shots,model,score");
    const auto& cells = rows_[row + 1].cells;
    if (found->second >= cells.size()) throw_bad_input("a row is too short", place(row));
    return std::string(utf8::strip(cells[found->second]));
  }
  double number(size_t row, const std::string& column) const {
    const std::string cell = text(row, column);
    double value = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc() || end != cell.data() + cell.size() || !(value == value))
      throw_bad_input("\"" + cell + "\" is not a number", place(row) + ": " + column);
    return value;
  }

 private:
  std::string where_;
  std::vector<CsvRow> rows_;
  std::map<std::string, size_t> columns_;
};

Sheet embedded_sheet(const std::string& name) { return Sheet(embedded_file(name), name); }

Column& column_named(std::vector<Column>& columns, const std::string& name,
                     const std::string& source) {
  for (Column& column : columns)
    if (column.name == name) return column;
  columns.push_back({name, "", "", "", source, {}});
  return columns.back();
}

}  // namespace

const Score* Column::find(std::string_view benchmark) const {
  for (const Score& score : scores)
    if (score.benchmark == benchmark) return &score;
  return nullptr;
}

const std::vector<Benchmark>& benchmarks() {
  static const std::vector<Benchmark> rows = [] {
    std::map<std::string, std::string> tasks;
    const Sheet names = embedded_sheet("task-rows.csv");
    for (size_t i = 0; i < names.size(); ++i)
      tasks[names.text(i, "benchmark")] = names.text(i, "task");
    std::vector<Benchmark> result;
    const Sheet sheet = embedded_sheet("base-benchmarks.csv");
    for (size_t i = 0; i < sheet.size(); ++i) {
      Benchmark row;
      row.name = sheet.text(i, "benchmark");
      row.task = tasks.at(row.name);
      row.category = sheet.text(i, "category");
      row.shots = sheet.text(i, "shots");
      row.metric = sheet.text(i, "metric_report");
      row.higher_is_better = row.metric != "BPB";
      result.push_back(std::move(row));
    }
    return result;
  }();
  return rows;
}

size_t row_of_task(std::string_view task) {
  const std::vector<Benchmark>& rows = benchmarks();
  return static_cast<size_t>(std::find_if(rows.begin(), rows.end(),
                                          [&](const Benchmark& row) { return row.task == task; }) -
                             rows.begin());
}

const std::vector<Column>& base_models() {
  static const std::vector<Column> models = [] {
    std::vector<Column> columns;
    const std::string source = std::string(kReport) + ", table 3";
    const Sheet facts = embedded_sheet("models.csv");
    for (size_t i = 0; i < facts.size(); ++i)
      columns.push_back({facts.text(i, "model"),
                         facts.text(i, "architecture"),
                         facts.text(i, "activated_params"),
                         facts.text(i, "total_params"),
                         source,
                         {}});
    const Sheet sheet = embedded_sheet("deepseek-v3-base-comparison.csv");
    for (size_t i = 0; i < sheet.size(); ++i)
      column_named(columns, sheet.text(i, "model"), source)
          .scores.push_back({sheet.text(i, "benchmark"), sheet.text(i, "shots"),
                             sheet.text(i, "metric"), sheet.number(i, "score")});
    return columns;
  }();
  return models;
}

const std::vector<Ablation>& ablations() {
  static const std::vector<Ablation> all = [] {
    std::vector<Ablation> result;
    const auto add = [&](const char* file, const char* name, const char* title, const char* table) {
      const std::string source = std::string(kReport) + ", " + table;
      Ablation ablation{name, title, source, {}};
      const Sheet sheet = embedded_sheet(file);
      for (size_t i = 0; i < sheet.size(); ++i) {
        Column& column = column_named(
            ablation.columns, sheet.text(i, "scale") + ": " + sheet.text(i, "variant"), source);
        column.activated_parameters = sheet.text(i, "activated_params");
        column.total_parameters = sheet.text(i, "total_params");
        column.scores.push_back({sheet.text(i, "benchmark"), sheet.text(i, "shots"),
                                 sheet.text(i, "metric"), sheet.number(i, "score")});
      }
      result.push_back(std::move(ablation));
    };
    add("deepseek-v3-table4-mtp-ablation.csv", "mtp", "Multi-token prediction", "table 4");
    add("deepseek-v3-table5-aux-loss-free-ablation.csv", "aux-loss-free",
        "Auxiliary-loss-free balancing", "table 5");
    return result;
  }();
  return all;
}

std::vector<Column> load_baselines(const std::filesystem::path& path) {
  const Sheet sheet(utf8::normalized_newlines(read_file(path)), path.string());
  std::vector<Column> columns;
  for (size_t i = 0; i < sheet.size(); ++i) {
    std::string benchmark = sheet.text(i, "benchmark");
    const size_t row = row_of_task(benchmark);
    if (row < benchmarks().size()) benchmark = benchmarks()[row].name;
    Column& column = column_named(columns, sheet.text(i, "model"), path.filename().string());
    if (column.find(benchmark) != nullptr)
      throw_bad_input("a second score of " + column.name + " on " + benchmark, sheet.place(i));
    column.scores.push_back({benchmark, sheet.has("shots") ? sheet.text(i, "shots") : "",
                             sheet.has("metric") ? sheet.text(i, "metric") : "",
                             sheet.number(i, "score")});
  }
  return columns;
}

}  // namespace assay::results::published
