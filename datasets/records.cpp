#include "datasets/records.h"

#include <algorithm>

#include "base/error.h"
#include "datasets/csv.h"
#include "datasets/files.h"

namespace assay::datasets {

namespace {

Place place_of(json::Value record, std::string where) {
  Place place;
  place.levels.push_back({record, {}, 0});
  place.where = std::move(where);
  return place;
}

void read_csv(std::string_view text, const std::string& where, const SplitLayout& split,
              const RecordSink& sink) {
  const char delimiter = split.delimiter == "auto" ? detect_delimiter(text) : split.delimiter[0];
  const auto rows = parse_csv(text, {delimiter, split.quotes}, where);
  std::vector<std::string> columns = split.columns;
  size_t first = 0;
  if (split.header) {
    if (rows.empty()) throw_bad_input("has no header row", where);
    columns = rows[0].cells;
    for (auto column = columns.begin(); column != columns.end(); ++column) {
      if (!column->empty() && std::find(columns.begin(), column, *column) != column) {
        throw_bad_input("header has the column \"" + *column + "\" twice", where + ":1");
      }
    }
    for (const std::string& wanted : split.columns) {
      if (std::find(columns.begin(), columns.end(), wanted) == columns.end()) {
        throw_bad_input("header lacks the column \"" + wanted + "\"", where + ":1");
      }
    }
    first = 1;
  }
  for (size_t r = first; r < rows.size(); ++r) {
    const CsvRow& row = rows[r];
    const std::string at = where + ":" + std::to_string(row.line);
    if (row.cells.size() != columns.size()) {
      throw_bad_input("row has " + std::to_string(row.cells.size()) + " cells, expected " +
                          std::to_string(columns.size()),
                      at);
    }
    json::Writer w;
    w.begin_object();
    for (size_t c = 0; c < columns.size(); ++c) {
      // Columns that a header leaves unnamed are row numbers or padding.
      if (!columns[c].empty()) w.member(columns[c], row.cells[c]);
    }
    const json::Document document = json::Document::parse(w.end_object().take(), at);
    Place place = place_of(document.root(), at);
    sink(place);
  }
}

// The records below one JSON value.
void read_json(json::Value root, const std::string& where, const std::string& records,
               const RecordSink& sink) {
  if (!records.empty()) {
    Way(records, where).for_each(root, where, sink);
  } else if (root.is_array()) {
    Way("*", where).for_each(root, where, sink);
  } else {
    Place place = place_of(root, where);
    sink(place);
  }
}

}  // namespace

void for_each_record(std::string_view text, const std::string& where, const std::string& format,
                     const SplitLayout& split, const std::string& group, const RecordSink& sink) {
  const std::string records = fill_pattern(split.records, split.file_name, group);
  if (format == "csv") {
    read_csv(text, where, split, sink);
  } else if (format == "jsonl") {
    json::for_each_line(text, where, [&](json::Value value, size_t line) {
      const std::string at = where + ":" + std::to_string(line);
      if (records.empty()) {
        Place place = place_of(value, at);
        sink(place);
      } else {
        read_json(value, at, records, sink);
      }
    });
  } else if (format == "json") {
    const json::Document document = json::Document::parse(text, where);
    size_t record = 0;
    read_json(document.root(), where, records, [&](Place& place) {
      place.where = where + ": record " + std::to_string(record++);
      sink(place);
    });
  } else if (format == "agieval-prompts") {
    read_agieval_prompts(text, where, group, sink);
  } else if (format == "humaneval-lines") {
    read_humaneval_lines(text, where, sink);
  } else if (format == "wikitext-pages") {
    read_wikitext_pages(text, where, sink);
  } else {
    const json::Document document = json::Document::parse(
        json::Writer().begin_object().member("text", text).end_object().take(), where);
    Place place = place_of(document.root(), where);
    sink(place);
  }
}

}  // namespace assay::datasets
