#include "results/store/migrations.h"

#include <string>
#include <vector>

#include "results/embedded.h"
#include "results/store/database.h"

namespace assay::results::detail {
namespace {

// The text of `CREATE TABLE name (...)` in the current schema, under another name.
std::string current_table(const std::string& name, const std::string& as) {
  const std::string schema(embedded_file("schema.sql"));
  const std::string head = "CREATE TABLE " + name + " (";
  const size_t begin = schema.find(head);
  const size_t end = schema.find(';', schema.find("\n)", begin));
  return "CREATE TABLE " + as + " (" +
         schema.substr(begin + head.size(), end + 1 - begin - head.size());
}

// Rebuilds a table as the current schema has it, filled by `select` from the old one (SQLite's
// documented way to change constraints).
void rebuild(SQLite::Database& database, const std::string& table, const std::string& columns,
             const std::string& select) {
  database.exec(current_table(table, table + "_new"));
  database.exec("INSERT INTO " + table + "_new (" + columns + ") " + select);
  database.exec("DROP TABLE " + table);
  database.exec("ALTER TABLE " + table + "_new RENAME TO " + table);
}

// Version 2: aggregates have names and strata instead of a group and a method; the headline may be
// any aggregate; items know their stratum.
void from_1(SQLite::Database& database) {
  const std::string evaluation_columns =
      "id, run_id, task, variant, shots, task_digest, data_digest, document_limit, max_length, "
      "boundary_policy, sandbox_level, samples, settings, identity, title, category, kind, "
      "primary_metric, higher_is_better, unit, aggregation, documents, population, deviations, "
      "status";
  rebuild(database, "evaluations", evaluation_columns,
          "SELECT " + evaluation_columns + " FROM evaluations");
  rebuild(database, "aggregates",
          "evaluation_id, metric, name, strata, value, standard_error, low, high, interval, n, "
          "clusters, errors",
          "SELECT a.evaluation_id, a.metric, "
          "iif(a.group_name = '', a.method, 'group:' || a.group_name), "
          "iif(a.method = 'macro', (SELECT count(DISTINCT d.group_name) FROM items i "
          "JOIN documents d ON d.id = i.document_id WHERE i.evaluation_id = a.evaluation_id), 1), "
          "a.value, a.standard_error, a.low, a.high, a.interval, a.n, a.clusters, a.errors "
          "FROM aggregates a");
  const std::string item_columns =
      "evaluation_id, position, document_id, context_id, shots_used, truncated, graded, tie, "
      "predicted, error";
  rebuild(database, "items", item_columns + ", stratum",
          "SELECT i.evaluation_id, i.position, i.document_id, i.context_id, i.shots_used, "
          "i.truncated, i.graded, i.tie, i.predicted, i.error, "
          "iif(e.status <> 'finished', NULL, iif(e.aggregation = 'micro', 0, "
          "dense_rank() OVER (PARTITION BY i.evaluation_id ORDER BY d.group_name) - 1)) "
          "FROM items i JOIN evaluations e ON e.id = i.evaluation_id "
          "JOIN documents d ON d.id = i.document_id");
}

}  // namespace

void migrate(SQLite::Database& database, int version) {
  std::vector<std::string> views;
  SQLite::Statement query(database, "SELECT name FROM sqlite_master WHERE type = 'view'");
  while (query.executeStep()) views.push_back(query.getColumn(0).getString());
  query.reset();
  for (const std::string& view : views) database.exec("DROP VIEW " + view);

  if (version < 2) from_1(database);

  const std::string schema(embedded_file("schema.sql"));
  database.exec(schema.substr(schema.find("CREATE VIEW")));
  database.exec("PRAGMA user_version = " + std::to_string(kSchemaVersion));
}

}  // namespace assay::results::detail
