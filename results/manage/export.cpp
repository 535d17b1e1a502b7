#include <sqlite3.h>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "results/csv.h"
#include "results/manage.h"
#include "results/store/database.h"

namespace assay::results {
namespace {

const char* query_of(ExportKind kind) {
  switch (kind) {
    case ExportKind::scores:
      return "SELECT r.label AS label, m.name AS model, m.training_step AS training_step, "
             "m.training_tokens AS training_tokens, r.numerics AS numerics, "
             "r.kernel_profile AS kernel_profile, e.task AS task, e.variant AS variant, "
             "e.shots AS shots, e.document_limit AS document_limit, e.identity AS identity, "
             "a.metric AS metric, a.name AS aggregate, a.value AS value, "
             "a.standard_error AS standard_error, a.low AS low, a.high AS high, "
             "a.interval AS interval, a.n AS n, a.clusters AS clusters, a.errors AS errors "
             "FROM aggregates a JOIN evaluations e ON e.id = a.evaluation_id "
             "JOIN runs r ON r.id = e.run_id JOIN models m ON m.id = r.model_id "
             "WHERE r.id = ? ORDER BY e.id, a.metric, a.name";
    case ExportKind::documents:
      return "SELECT r.label AS label, v.task AS task, v.variant AS variant, "
             "v.position AS position, v.item_id AS item_id, v.content_hash AS content_hash, "
             "v.group_name AS group_name, v.cluster AS cluster, v.metric AS metric, "
             "v.value AS value, v.weight AS weight FROM document_metrics v "
             "JOIN runs r ON r.id = v.run WHERE v.run = ? "
             "ORDER BY v.evaluation, v.position, v.metric";
    case ExportKind::options:
      return "SELECT r.label AS label, v.task AS task, v.item_id AS item_id, v.option AS option, "
             "v.context AS context, v.continuation AS continuation, v.logprob AS logprob, "
             "v.tokens AS tokens, v.bytes AS bytes, v.characters AS characters, "
             "v.greedy AS greedy, v.boundary_merge AS boundary_merge, "
             "v.uncond_logprob AS uncond_logprob, v.whole_loss AS whole_loss "
             "FROM option_scores v JOIN runs r ON r.id = v.run WHERE v.run = ? "
             "ORDER BY v.evaluation, v.position, v.option";
    case ExportKind::generations:
      return "SELECT r.label AS label, v.task AS task, v.item_id AS item_id, v.sample AS sample, "
             "v.prompt AS prompt, v.text AS text, v.extracted AS extracted, v.gold AS gold, "
             "v.finish AS finish, v.logprob AS logprob, v.verdict AS verdict, v.reason AS reason "
             "FROM generated_texts v JOIN runs r ON r.id = v.run WHERE v.run = ? "
             "ORDER BY v.evaluation, v.position, v.sample";
    case ExportKind::experts:
      return "SELECT r.label AS label, e.task AS task, e.variant AS variant, l.layer AS layer, "
             "l.expert AS expert, l.tokens AS tokens, l.weight AS weight FROM expert_load l "
             "JOIN evaluations e ON e.id = l.evaluation_id JOIN runs r ON r.id = e.run_id "
             "WHERE r.id = ? ORDER BY e.id, l.layer, l.expert";
  }
  return "";
}

std::string number_text(double value) {
  json::Writer out;  // the shortest form that reads back to the same double
  out.begin_array().value(value);
  const std::string text = out.end_array().take();
  return text.substr(1, text.size() - 2);
}

void write_csv_row(SQLite::Statement& q, std::ostream& out) {
  for (int c = 0; c < q.getColumnCount(); ++c) {
    const SQLite::Column column = q.getColumn(c);
    if (c > 0) out << ',';
    if (column.isFloat()) out << number_text(column.getDouble());
    else if (!column.isNull()) out << csv_cell(utf8::sanitized(column.getString()));
  }
  out << '\n';
}

void write_json_row(SQLite::Statement& q, std::ostream& out) {
  json::Writer line;
  line.begin_object();
  for (int c = 0; c < q.getColumnCount(); ++c) {
    const SQLite::Column column = q.getColumn(c);
    line.key(column.getName());
    if (column.isNull()) line.null();
    else if (column.isInteger()) line.value(column.getInt64());
    else if (column.isFloat()) line.value(column.getDouble());
    else line.value(column.getString());
  }
  out << line.end_object().take() << '\n';
}

}  // namespace

ExportKind parse_export_kind(std::string_view name) {
  constexpr std::pair<std::string_view, ExportKind> kNames[] = {
      {"scores", ExportKind::scores},
      {"documents", ExportKind::documents},
      {"options", ExportKind::options},
      {"generations", ExportKind::generations},
      {"experts", ExportKind::experts}};
  for (const auto& [known, kind] : kNames)
    if (known == name) return kind;
  throw_usage("there is nothing called " + std::string(name) + " to export",
              "choose scores, documents, options, generations or experts");
}

ExportFormat parse_export_format(std::string_view name) {
  if (name == "csv") return ExportFormat::csv;
  if (name == "jsonl") return ExportFormat::jsonl;
  throw_usage("there is no export format " + std::string(name), "choose csv or jsonl");
}

void export_rows(const Store& store, std::span<const RunSummary> runs, ExportKind kind,
                 ExportFormat format, std::ostream& out) {
  const char* sql = query_of(kind);
  if (format == ExportFormat::csv) {
    store.database().guarded([&] {
      SQLite::Statement header(store.database().connection(), sql);
      for (int c = 0; c < header.getColumnCount(); ++c)
        out << (c > 0 ? "," : "") << header.getColumnName(c);
      out << '\n';
    });
  }
  for (const RunSummary& run : runs)
    store.database().for_each_row(
        sql, [&](auto& q) { q.bind(1, static_cast<int64_t>(run.id)); },
        [&](auto& q) {
          if (format == ExportFormat::csv) write_csv_row(q, out);
          else write_json_row(q, out);
        });
  if (!out)
    throw_resource("the output could not be written", "export", "check the disk's free space");
}

}  // namespace assay::results
