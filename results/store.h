// The store: one SQLite file that keeps every number of every evaluation. The only header of this
// room that the harness needs to write results; queries and renderings have headers of their own.
//
// DESCRIPTION
//
// A run is one checkpoint under one identity (numerics, kernel profile, engine version, seed,
// settings); an evaluation is one task of a run. results/schema.sql documents every table and
// column, docs/store.md has example queries.
//
// Use by a writer:
//
//   Store store = Store::open(path, Store::Access::write);          // created if missing
//   RunId run = store.begin_run(store.put_model(model), identity, session);
//   EvaluationId evaluation = store.begin_evaluation(run, task_identity, description);
//   for (const ItemState& item : store.item_states(evaluation)) ... // what is already there
//   store.put_item(...), put_option(...), put_generation(...), add_expert_load(...);
//   store.commit();                                                 // at the engine's commit
//   points store.put_execution(...), put_grade(...), store.commit();
//   store.finish_evaluation(evaluation);                            // aggregates, then commits
//   store.finish_run(run);
//
// Batches: the first put after a commit() opens a transaction; commit() makes everything since then
// durable at once; destruction without commit() forgets it. A process killed at any moment leaves
// the last committed state. Expert load adds to what is stored: commit it with the results that
// caused it.
//
// Determinism: putting the same rows in any order and any division into sessions and batches gives
// the same content. content_digest() hashes it; volatile columns (their names begin with
// `volatile_`) and the table `sessions` are not content. Row numbers and the division of prompts
// into shared prefixes are not content either.
//
// Readers may read while one writer writes (WAL). On network file systems, where WAL is unsafe, a
// rollback journal is used instead, and readers may have to wait for a commit. A second writer is
// refused at once.
//
// Threads: a Store is used by one thread at a time; different Stores of one file are independent.
//
// Errors: a file that is not a store of this program, or of a newer one: bad_input. Another writer,
// a disk that is full, a file that cannot be written: resource, with nothing half-written. Every
// error names the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "results/records.h"

namespace assay::results {

namespace detail {
class Database;
}

// What the store holds of one document of an evaluation.
struct ItemState {
  int64_t position = 0;
  std::string item_id, content_hash;
  bool graded = false;  // grading finished, with metrics or with an error
  std::string error;    // why the document could not be judged; a caller may grade it again
  std::vector<OptionRecord> options;          // ascending; texts are not loaded
  std::vector<GenerationRecord> generations;  // ascending, complete
  std::vector<ExecutionRecord> executions;    // ascending; volatile_record is not loaded
};

struct StoreOptions {
  enum class Journal { automatic, wal, rollback };
  Journal journal = Journal::automatic;  // automatic: WAL unless the file system is a network's
  int busy_timeout_ms = 10000;           // how long a reader waits for a commit to finish
};

class Store {
 public:
  // read: the file must exist. write: created if missing, migrated if older; one at a time.
  enum class Access { read, write };
  static Store open(const std::filesystem::path& path, Access access, StoreOptions options = {});
  ~Store();
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;

  const std::filesystem::path& path() const;

  // -- writing: identities ---------------------------------------------------------------------
  // Each finds the row of the same identity or adds it, commits, and returns it.

  ModelId put_model(const ModelRecord& model);
  RunId begin_run(ModelId model, const RunIdentity& identity, const SessionRecord& session);
  // The description is renewed. Evaluations that differ in anything, also in their data files, are
  // different ones and stand side by side in the run.
  EvaluationId begin_evaluation(RunId run, const EvaluationIdentity& identity,
                                const EvaluationDescription& description);

  // -- writing: results ------------------------------------------------------------------------
  // Putting a row again replaces it (options merge, see OptionRecord).

  void put_item(EvaluationId evaluation, const ItemRecord& item);
  void put_option(EvaluationId evaluation, const OptionRecord& option);
  void put_generation(EvaluationId evaluation, const GenerationRecord& generation);
  void put_execution(EvaluationId evaluation, const ExecutionRecord& execution);
  // Copies what a model answered - items, options, generations - into an evaluation of its own, which
  // can then be graded anew; with `executions` the verdicts of programs as well. Rows that `to` has
  // already stay. The copies share their texts with the originals.
  void copy_outputs(EvaluationId from, EvaluationId to, bool executions);
  // Completes the document.
  void put_grade(EvaluationId evaluation, const GradeRecord& grade);
  void add_expert_load(EvaluationId evaluation, const ExpertLoadRecord& load);
  void commit();
  // Forgets everything since the last commit.
  void rollback();

  // Computes aggregates with 95 % intervals for every metric from what is stored
  // (results/statistics/aggregate.h), marks the evaluation finished and commits. Without rules:
  // "micro", and where documents have groups "macro" and "group:NAME" for each. The headline (the
  // description's `aggregation`) must be among them, its strata disjoint. Throws internal if
  // documents are missing or not graded.
  void finish_evaluation(EvaluationId evaluation, std::span<const AggregateRule> rules = {});
  // Marks the run finished if all its evaluations are, closes its open session, commits. The members
  // of `facts`, a JSON object, join the session's host facts.
  void finish_run(RunId run, const std::string& facts = "{}");

  // -- reading for resumption --------------------------------------------------------------------

  bool is_finished(EvaluationId evaluation) const;
  // Everything stored of an evaluation, by ascending position.
  std::vector<ItemState> item_states(EvaluationId evaluation) const;
  // Positions whose documents are complete, ascending. Cheaper than item_states().
  std::vector<int64_t> finished_items(EvaluationId evaluation) const;
  std::vector<AggregateRecord> aggregates(EvaluationId evaluation) const;

  // SHA-256 over all content of a run in a fixed order, independent of row numbers; equal digests
  // mean equal content. Sums of combine weights enter rounded to six significant digits, since the
  // order of their additions depends on where an interruption fell.
  std::string content_digest(RunId run) const;
  // The same of one evaluation, without what belongs to its run.
  std::string content_digest(EvaluationId evaluation) const;

  // For this room's queries.
  detail::Database& database() const { return *database_; }

 private:
  struct Writer;
  explicit Store(std::unique_ptr<detail::Database> database);
  Writer& writer();
  std::unique_ptr<detail::Database> database_;
  std::unique_ptr<Writer> writer_;
};

// Whether the f_type of statfs(2) is a network file system's (or one of user space, which may be).
bool is_network_filesystem(uint64_t statfs_type);

}  // namespace assay::results
