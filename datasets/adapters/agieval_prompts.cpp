#include <algorithm>

#include "base/error.h"
#include "datasets/adapters.h"
#include "datasets/csv.h"
#include "datasets/python_literal.h"

namespace assay::datasets {

void read_agieval_prompts(std::string_view text, const std::string& where, const std::string& group,
                          const RecordSink& sink) {
  const auto rows = parse_csv(text, {}, where);
  if (rows.empty()) throw_bad_input("has no header row", where);
  const auto& header = rows[0].cells;
  // The variant without passages is shown the samples of the task it was made from.
  std::string name = group;
  if (name.ends_with("-without-passage")) name.resize(name.rfind("-without-passage"));
  const auto column =
      static_cast<size_t>(std::find(header.begin(), header.end(), name) - header.begin());
  if (column == header.size()) throw_bad_input("has no column \"" + name + "\"", where + ":1");
  const auto cell = [&](const std::string& name) -> const CsvRow* {
    for (const CsvRow& row : rows) {
      if (row.cells[0] != name) continue;
      if (row.cells.size() == header.size()) return &row;
      throw_bad_input("row has " + std::to_string(row.cells.size()) + " cells, expected " +
                          std::to_string(header.size()),
                      where + ":" + std::to_string(row.line));
    }
    return nullptr;
  };
  for (size_t n = 1;; ++n) {
    const CsvRow* sample = cell("sample " + std::to_string(n));
    if (!sample) return;
    if (sample->cells[column].empty()) continue;  // tasks have three to five samples
    const std::string at = where + ":" + std::to_string(sample->line) + ": " + group;
    const CsvRow* explanation = cell("explanation " + std::to_string(n));
    if (!explanation) throw_bad_input("sample has no explanation row", at);
    const json::Document literal =
        json::Document::parse(python_literal_to_json(sample->cells[column], at), at);
    json::Writer w;
    w.begin_object();
    literal.root().for_each_member(
        [&](std::string_view key, json::Value value) { w.member(key, value); });
    w.member("explanation", explanation->cells[column]);
    const json::Document record = json::Document::parse(w.end_object().take(), at);
    Place place;
    place.levels.push_back({record.root(), {}, n - 1});
    place.where = at;
    sink(place);
  }
}

}  // namespace assay::datasets
