// Merging works set by set inside one transaction, with the source attached; row numbers are mapped
// over digests.
#include <algorithm>

#include "base/error.h"
#include "results/manage.h"
#include "results/store/database.h"

namespace assay::results {
namespace {

using detail::column_text;

struct Incoming {
  int64_t evaluation = 0;  // in the source
  int64_t run = 0;
  std::string run_identity, identity, name;
  bool finished = false;
};

std::vector<Incoming> list_incoming(const Store& source) {
  std::vector<Incoming> all;
  source.database().for_each_row(
      "SELECT e.id, r.id, r.identity, e.identity, r.label || ' ' || e.task || '@' || e.variant, "
      "e.status = 'finished' FROM evaluations e JOIN runs r ON r.id = e.run_id ORDER BY e.id",
      [](auto&) {},
      [&](auto& q) {
        all.push_back({q.getColumn(0).getInt64(), q.getColumn(1).getInt64(), column_text(q, 2),
                       column_text(q, 3), column_text(q, 4), q.getColumn(5).getInt() != 0});
      });
  return all;
}

// What is copied for texts: whole prefixes first, then what refers to them.
constexpr const char* kShared[] = {
    "INSERT INTO main.texts (digest, prefix_id, content) "
    "SELECT digest, NULL, content FROM source.texts WHERE prefix_id IS NULL ORDER BY id "
    "ON CONFLICT (digest) DO NOTHING",
    // A prefix that is stored here in two parts itself cannot serve as one: then the whole text.
    "INSERT INTO main.texts (digest, prefix_id, content) "
    "SELECT t.digest, iif(m.prefix_id IS NULL, m.id, NULL), "
    "iif(m.prefix_id IS NULL, t.content, p.content || t.content) "
    "FROM source.texts t JOIN source.texts p ON p.id = t.prefix_id "
    "JOIN main.texts m ON m.digest = p.digest WHERE true ORDER BY t.id "
    "ON CONFLICT (digest) DO NOTHING",
    "INSERT INTO main.documents (digest, item_id, content_hash, group_name, cluster, gold) "
    "SELECT digest, item_id, content_hash, group_name, cluster, gold FROM source.documents "
    "WHERE true ORDER BY id ON CONFLICT (digest) DO NOTHING",
    "INSERT INTO main.metric_names (name) SELECT name FROM source.metric_names WHERE true "
    "ORDER BY id ON CONFLICT (name) DO NOTHING",
    "INSERT INTO main.models (name, architecture, weights_digest, config_digest, "
    "tokenizer_digest, parameters, active_parameters, training_step, training_tokens, details) "
    "SELECT name, architecture, weights_digest, config_digest, tokenizer_digest, parameters, "
    "active_parameters, training_step, training_tokens, details FROM source.models WHERE true "
    "ORDER BY id ON CONFLICT DO NOTHING",
};

// ?1: the evaluation in the source, ?2: here.
constexpr const char* kRows[] = {
    "INSERT INTO main.items SELECT ?2, i.position, (SELECT id FROM main.documents WHERE digest = "
    "d.digest), (SELECT m.id FROM main.texts m JOIN source.texts t ON t.digest = m.digest WHERE "
    "t.id = i.context_id), i.shots_used, i.truncated, i.graded, i.tie, i.predicted, i.stratum, "
    "i.error FROM source.items i JOIN source.documents d ON d.id = i.document_id "
    "WHERE i.evaluation_id = ?1",
    "INSERT INTO main.options SELECT ?2, o.position, o.option, (SELECT m.id FROM main.texts m JOIN "
    "source.texts t ON t.digest = m.digest WHERE t.id = o.context_id), (SELECT m.id FROM "
    "main.texts m JOIN source.texts t ON t.digest = m.digest WHERE t.id = o.continuation_id), "
    "o.logprob, o.tokens, o.bytes, o.characters, o.greedy, o.boundary_merge, o.uncond_logprob, "
    "o.whole_loss, o.whole_tokens FROM source.options o WHERE o.evaluation_id = ?1",
    "INSERT INTO main.generations SELECT ?2, position, sample, text, tokens, finish, logprob, "
    "extracted FROM source.generations WHERE evaluation_id = ?1",
    "INSERT INTO main.executions SELECT ?2, position, sample, execution, verdict, reason, level, "
    "volatile_wall_ms, volatile_cpu_ms, volatile_memory_bytes, volatile_record "
    "FROM source.executions WHERE evaluation_id = ?1",
    "INSERT INTO main.metrics SELECT ?2, (SELECT m.id FROM main.metric_names m JOIN "
    "source.metric_names s ON s.name = m.name WHERE s.id = x.metric_id), x.position, x.value, "
    "x.weight FROM source.metrics x WHERE x.evaluation_id = ?1",
    "INSERT INTO main.aggregates SELECT ?2, metric, name, strata, value, standard_error, low, "
    "high, interval, n, clusters, errors FROM source.aggregates WHERE evaluation_id = ?1",
    "INSERT INTO main.expert_load SELECT ?2, layer, expert, tokens, weight "
    "FROM source.expert_load WHERE evaluation_id = ?1",
};

int64_t one_integer(SQLite::Database& db, const std::string& sql, const std::string& a,
                    const std::string& b = {}) {
  SQLite::Statement q(db, sql);
  q.bind(1, a);
  if (q.getBindParameterCount() > 1) q.bind(2, b);
  return q.executeStep() ? q.getColumn(0).getInt64() : 0;
}

int64_t run_here(SQLite::Database& db, const Incoming& evaluation, MergeReport& report) {
  const std::string find = "SELECT id FROM main.runs WHERE identity = ?";
  if (const int64_t id = one_integer(db, find, evaluation.run_identity)) return id;
  SQLite::Statement add(
      db,
      "INSERT INTO main.runs (model_id, label, numerics, kernel_profile, engine_version, seed, "
      "settings, identity, status) SELECT (SELECT h.id FROM main.models h WHERE h.name = m.name "
      "AND h.weights_digest = m.weights_digest AND h.config_digest = m.config_digest AND "
      "h.tokenizer_digest = m.tokenizer_digest), r.label, r.numerics, r.kernel_profile, "
      "r.engine_version, r.seed, r.settings, r.identity, r.status FROM source.runs r "
      "JOIN source.models m ON m.id = r.model_id WHERE r.id = ?");
  add.bind(1, evaluation.run);
  add.exec();
  ++report.runs;
  const int64_t id = one_integer(db, find, evaluation.run_identity);
  SQLite::Statement sessions(
      db,
      "INSERT INTO main.sessions (run_id, command_line, host, started_at, finished_at) "
      "SELECT ?2, command_line, host, started_at, finished_at FROM source.sessions "
      "WHERE run_id = ?1 ORDER BY id");
  sessions.bind(1, evaluation.run);
  sessions.bind(2, id);
  sessions.exec();
  return id;
}

}  // namespace

MergeReport merge(Store& target, const std::filesystem::path& source_path) {
  if (std::filesystem::equivalent(target.path(), source_path))
    throw_usage("a store merged into itself", "name another source");
  // Opening it checks what it is, and migrates nothing.
  const Store source = Store::open(source_path, Store::Access::read);
  const std::vector<Incoming> incoming = list_incoming(source);
  SQLite::Database& db = target.database().connection();

  // First look, then write: conflicts change nothing.
  MergeReport report;
  std::vector<Incoming> copied;
  std::vector<int64_t> replaced;
  std::string conflicts;
  target.database().guarded([&] {
    for (const Incoming& evaluation : incoming) {
      SQLite::Statement here(db,
                             "SELECT e.id, e.status = 'finished' FROM evaluations e JOIN runs r ON "
                             "r.id = e.run_id WHERE r.identity = ? AND e.identity = ?");
      here.bind(1, evaluation.run_identity);
      here.bind(2, evaluation.identity);
      if (!here.executeStep()) {
        copied.push_back(evaluation);
        continue;
      }
      const EvaluationId id{here.getColumn(0).getInt64()};
      const bool finished = here.getColumn(1).getInt() != 0;
      if (evaluation.finished && !finished) {
        replaced.push_back(static_cast<int64_t>(id));
        copied.push_back(evaluation);
        ++report.completed;
      } else if (!evaluation.finished && finished) {
        ++report.present;
      } else if (target.content_digest(id) ==
                 source.content_digest(EvaluationId{evaluation.evaluation})) {
        ++report.present;
      } else {
        conflicts += (conflicts.empty() ? "" : "; ") + evaluation.name;
      }
    }
  });
  if (!conflicts.empty())
    throw_bad_input("the same evaluations have different content: " + conflicts,
                    target.path().string() + " and " + source_path.string(),
                    "remove one side with `assay rm`, or keep the stores apart");

  target.database().guarded([&] {
    SQLite::Statement attach(db, "ATTACH DATABASE ? AS source");
    attach.bind(1, source_path.string());
    attach.exec();
  });
  const auto detach = [&] { db.tryExec("DETACH DATABASE source"); };
  try {
    target.database().guarded([&] {
      SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
      for (const char* sql : kShared) db.exec(sql);
      for (const int64_t id : replaced) {
        SQLite::Statement drop(db, "DELETE FROM main.evaluations WHERE id = ?");
        drop.bind(1, id);
        drop.exec();
      }
      for (const Incoming& evaluation : copied) {
        const int64_t run = run_here(db, evaluation, report);
        SQLite::Statement add(
            db,
            "INSERT INTO main.evaluations (run_id, task, variant, shots, task_digest, data_digest, "
            "document_limit, max_length, boundary_policy, sandbox_level, samples, settings, "
            "identity, title, category, kind, primary_metric, higher_is_better, unit, "
            "aggregation, documents, population, deviations, status) "
            "SELECT ?2, task, variant, shots, task_digest, data_digest, document_limit, "
            "max_length, boundary_policy, sandbox_level, samples, settings, identity, title, "
            "category, kind, primary_metric, higher_is_better, unit, aggregation, documents, "
            "population, deviations, status FROM source.evaluations WHERE id = ?1");
        add.bind(1, evaluation.evaluation);
        add.bind(2, run);
        add.exec();
        const int64_t id = db.getLastInsertRowid();
        for (const char* sql : kRows) {
          SQLite::Statement copy(db, sql);
          copy.bind(1, evaluation.evaluation);
          copy.bind(2, id);
          copy.exec();
        }
        ++report.evaluations;
      }
      db.exec("UPDATE main.runs SET status = iif(EXISTS (SELECT 1 FROM evaluations e WHERE "
              "e.run_id = runs.id AND e.status <> 'finished'), 'running', 'finished')");
      transaction.commit();
    });
  } catch (...) {
    detach();
    throw;
  }
  detach();
  return report;
}

}  // namespace assay::results
