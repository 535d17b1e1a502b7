// Store::content_digest: everything of a run that two equal evaluations must have in common.
#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <cstdio>

#include "base/digest.h"
#include "results/store/database.h"
#include "results/store/writer.h"

namespace assay::results {
namespace {

// Queries of one run (?1), or of its evaluation ?2 alone, in a fixed order; the first one is the run's. Row numbers are replaced by what they stand for. The
// column named `rounded` is hashed with six significant digits.
constexpr const char* kContent[] = {
    "SELECT r.label, r.numerics, r.kernel_profile, r.engine_version, r.seed, r.settings, "
    "r.identity, r.status, m.name, m.architecture, m.weights_digest, m.config_digest, "
    "m.tokenizer_digest, m.parameters, m.active_parameters, m.training_step, m.training_tokens, "
    "m.details FROM runs r JOIN models m ON m.id = r.model_id WHERE r.id = ?1",

    "SELECT task, variant, shots, task_digest, data_digest, document_limit, max_length, "
    "boundary_policy, sandbox_level, samples, settings, identity, title, category, kind, "
    "primary_metric, higher_is_better, unit, aggregation, documents, population, deviations, "
    "status "
    "FROM evaluations WHERE run_id = ?1 AND (?2 = 0 OR id = ?2) ORDER BY identity",

    "SELECT e.identity, i.position, d.digest, t.digest, i.shots_used, i.truncated, i.graded, "
    "i.tie, "
    "i.predicted, "
    "i.stratum, i.error FROM evaluations e JOIN items i ON i.evaluation_id = e.id "
    "JOIN documents d ON d.id = i.document_id LEFT JOIN texts t ON t.id = i.context_id "
    "WHERE e.run_id = ?1 AND (?2 = 0 OR e.id = ?2) ORDER BY e.identity, i.position",

    "SELECT e.identity, o.position, o.option, c.digest, k.digest, o.logprob, o.tokens, o.bytes, "
    "o.characters, o.greedy, o.boundary_merge, o.uncond_logprob, o.whole_loss, o.whole_tokens "
    "FROM evaluations e JOIN options o ON o.evaluation_id = e.id "
    "JOIN texts k ON k.id = o.continuation_id LEFT JOIN texts c ON c.id = o.context_id "
    "WHERE e.run_id = ?1 AND (?2 = 0 OR e.id = ?2) ORDER BY e.identity, o.position, o.option",

    "SELECT e.identity, g.position, g.sample, g.text, g.tokens, g.finish, g.logprob, g.extracted "
    "FROM evaluations e JOIN generations g ON g.evaluation_id = e.id "
    "WHERE e.run_id = ?1 AND (?2 = 0 OR e.id = ?2) ORDER BY e.identity, g.position, g.sample",

    "SELECT e.identity, x.position, x.sample, x.execution, x.verdict, x.reason, x.level "
    "FROM evaluations e JOIN executions x ON x.evaluation_id = e.id "
    "WHERE e.run_id = ?1 AND (?2 = 0 OR e.id = ?2) ORDER BY e.identity, x.position, x.sample, x.execution",

    "SELECT e.identity, n.name, m.position, m.value, m.weight "
    "FROM evaluations e JOIN metrics m ON m.evaluation_id = e.id "
    "JOIN metric_names n ON n.id = m.metric_id "
    "WHERE e.run_id = ?1 AND (?2 = 0 OR e.id = ?2) ORDER BY e.identity, n.name, m.position",

    "SELECT e.identity, a.metric, a.name, a.strata, a.value, a.standard_error, a.low, a.high, "
    "a.interval, a.n, a.clusters, a.errors "
    "FROM evaluations e JOIN aggregates a ON a.evaluation_id = e.id "
    "WHERE e.run_id = ?1 AND (?2 = 0 OR e.id = ?2) ORDER BY e.identity, a.metric, a.name",

    "SELECT e.identity, l.layer, l.expert, l.tokens, l.weight AS rounded "
    "FROM evaluations e JOIN expert_load l ON l.evaluation_id = e.id "
    "WHERE e.run_id = ?1 AND (?2 = 0 OR e.id = ?2) ORDER BY e.identity, l.layer, l.expert",
};

void hash_column(Sha256& hash, const SQLite::Column& column) {
  switch (column.getType()) {
    case SQLITE_NULL:
      hash.update("n");
      return;
    case SQLITE_INTEGER: {
      const int64_t value = column.getInt64();
      hash.update("i").update({reinterpret_cast<const char*>(&value), sizeof(value)});
      return;
    }
    case SQLITE_FLOAT: {
      const double value = column.getDouble();
      if (std::string_view(column.getName()) == "rounded") {
        char text[32];
        const int length = std::snprintf(text, sizeof(text), "%.5e", value);
        hash.update("r").update_field({text, static_cast<size_t>(length)});
      } else {
        hash.update("f").update({reinterpret_cast<const char*>(&value), sizeof(value)});
      }
      return;
    }
    default:
      hash.update("s").update_field(column.getString());
  }
}

std::string digest(detail::Database& database, int64_t run, int64_t evaluation) {
  Sha256 hash;
  bool of_run = true;
  for (const char* query : kContent) {
    const bool skipped = of_run && evaluation != 0;
    of_run = false;
    if (skipped) continue;
    hash.update("table");
    database.for_each_row(
        query,
        [&](auto& q) {
          q.bind(1, run);
          if (q.getBindParameterCount() > 1) q.bind(2, evaluation);
        },
        [&](auto& q) {
          hash.update("row");
          for (int column = 0; column < q.getColumnCount(); ++column)
            hash_column(hash, q.getColumn(column));
        });
  }
  return hash.finish_hex();
}

}  // namespace

std::string Store::content_digest(RunId run) const {
  return digest(*database_, static_cast<int64_t>(run), 0);
}

std::string Store::content_digest(EvaluationId evaluation) const {
  const auto id = static_cast<int64_t>(evaluation);
  int64_t run = 0;
  database_->for_each_row("SELECT run_id FROM evaluations WHERE id = ?",
                          [&](auto& q) { q.bind(1, id); },
                          [&](auto& q) { run = q.getColumn(0).getInt64(); });
  return digest(*database_, run, id);
}

}  // namespace assay::results
