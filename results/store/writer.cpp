#include "results/store/writer.h"

#include <sqlite3.h>

#include <bit>
#include <cmath>
#include <ctime>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"

namespace assay::results {
namespace {

using detail::bind_text;

int64_t number(EvaluationId id) { return static_cast<int64_t>(id); }
int64_t number(RunId id) { return static_cast<int64_t>(id); }

// JSON settings are compared as values: keys sorted, no spaces.
std::string canonical_json(const std::string& text, const char* what) {
  if (text.empty()) return "{}";
  return json::Document::parse(text, what).root().dump(true);
}

void check_finite(double value, const std::filesystem::path& path, const char* what) {
  if (!std::isfinite(value))
    throw_internal(std::string(what) + " is not a finite number", path.string());
}

void bind_optional(SQLite::Statement& statement, int index, const std::optional<double>& value) {
  if (value) statement.bind(index, *value);
}
void bind_optional(SQLite::Statement& statement, int index, const std::optional<int64_t>& value) {
  if (value) statement.bind(index, *value);
}

// The single integer of a statement's first row, or 0 without rows; leaves no cursor open.
int64_t first_integer(SQLite::Statement& statement) {
  const int64_t value = statement.executeStep() ? statement.getColumn(0).getInt64() : 0;
  statement.reset();
  return value;
}

int64_t add_document(detail::Database& database, const DocumentRecord& document) {
  Sha256 hash;
  hash.update_field(document.item_id)
      .update_field(document.content_hash)
      .update_field(document.group)
      .update_field(document.cluster)
      .update_field(document.gold);
  const auto digest = hash.finish();
  SQLite::Statement& add = database.statement(
      "INSERT INTO documents (digest, item_id, content_hash, group_name, cluster, gold) "
      "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING");
  add.bind(1, static_cast<const void*>(digest.data()), static_cast<int>(digest.size()));
  add.bind(2, document.item_id);
  add.bind(3, document.content_hash);
  add.bind(4, document.group);
  add.bind(5, document.cluster);
  bind_text(add, 6, document.gold);
  if (add.exec() == 1) return database.connection().getLastInsertRowid();
  SQLite::Statement& find = database.statement("SELECT id FROM documents WHERE digest = ?");
  find.bind(1, static_cast<const void*>(digest.data()), static_cast<int>(digest.size()));
  return first_integer(find);
}

}  // namespace

// -- batches
// ---------------------------------------------------------------------------------------

void Store::Writer::commit() {
  if (!open) return;
  in_batch([&] { database.connection().exec("COMMIT"); });
  open = false;
}

void Store::Writer::rollback() noexcept {
  if (!open) return;
  open = false;
  // Some errors (a full disk) have ended the transaction already.
  if (sqlite3_get_autocommit(database.connection().getHandle()) == 0)
    database.connection().tryExec("ROLLBACK");
  texts.forget();
  metric_ids.clear();
}

int64_t Store::Writer::metric_id(const std::string& name) {
  const auto known = metric_ids.find(name);
  if (known != metric_ids.end()) return known->second;
  SQLite::Statement& add = database.statement(
      "INSERT INTO metric_names (name) VALUES (?) ON CONFLICT (name) DO NOTHING");
  add.bind(1, name);
  add.exec();
  SQLite::Statement& find = database.statement("SELECT id FROM metric_names WHERE name = ?");
  find.bind(1, name);
  return metric_ids[name] = first_integer(find);
}

Store::Store(std::unique_ptr<detail::Database> database) : database_(std::move(database)) {
  if (database_->writable()) writer_ = std::make_unique<Writer>(*database_);
}

Store::~Store() {
  if (writer_) writer_->rollback();
}

Store::Store(Store&&) noexcept = default;

Store& Store::operator=(Store&& other) noexcept {
  if (this != &other) {
    if (writer_) writer_->rollback();
    writer_ = std::move(other.writer_);
    database_ = std::move(other.database_);
  }
  return *this;
}

Store Store::open(const std::filesystem::path& path, Access access, StoreOptions options) {
  return Store(std::make_unique<detail::Database>(path, access, options));
}

const std::filesystem::path& Store::path() const { return database_->path(); }

Store::Writer& Store::writer() {
  if (!writer_) throw_internal("a store opened for reading was written to", path().string());
  return *writer_;
}

void Store::commit() { writer().commit(); }
void Store::rollback() { writer().rollback(); }

// -- identities
// ------------------------------------------------------------------------------------

ModelId Store::put_model(const ModelRecord& model) {
  Writer& w = writer();
  const std::string details = canonical_json(model.details, "model details");
  const int64_t id = w.in_batch([&] {
    SQLite::Statement& add = w.database.statement(
        "INSERT INTO models (name, architecture, weights_digest, config_digest, tokenizer_digest, "
        "parameters, active_parameters, training_step, training_tokens, details) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (name, weights_digest, config_digest, tokenizer_digest) DO UPDATE SET "
        "training_step = coalesce(excluded.training_step, training_step), "
        "training_tokens = coalesce(excluded.training_tokens, training_tokens)");
    add.bind(1, model.name);
    add.bind(2, model.architecture);
    add.bind(3, model.weights_digest);
    add.bind(4, model.config_digest);
    add.bind(5, model.tokenizer_digest);
    add.bind(6, static_cast<int64_t>(model.parameters));
    add.bind(7, static_cast<int64_t>(model.active_parameters));
    bind_optional(add, 8, model.training_step);
    bind_optional(add, 9, model.training_tokens);
    add.bind(10, details);
    add.exec();
    SQLite::Statement& find = w.database.statement(
        "SELECT id FROM models WHERE name = ? AND weights_digest = ? AND config_digest = ? AND "
        "tokenizer_digest = ?");
    find.bind(1, model.name);
    find.bind(2, model.weights_digest);
    find.bind(3, model.config_digest);
    find.bind(4, model.tokenizer_digest);
    return first_integer(find);
  });
  w.commit();
  return ModelId{id};
}

RunId Store::begin_run(ModelId model, const RunIdentity& identity, const SessionRecord& session) {
  Writer& w = writer();
  const std::string settings = canonical_json(identity.settings, "run settings");
  const std::string host = canonical_json(session.host, "host facts");
  const int64_t id = w.in_batch([&] {
    SQLite::Statement& of_model = w.database.statement(
        "SELECT name, weights_digest, config_digest, tokenizer_digest FROM models WHERE id = ?");
    of_model.bind(1, static_cast<int64_t>(model));
    if (!of_model.executeStep()) throw_internal("a run of an unknown model", path().string());
    Sha256 hash;
    for (int column = 0; column < 4; ++column)
      hash.update_field(detail::column_text(of_model, column));
    of_model.reset();
    hash.update_field(identity.label)
        .update_field(identity.numerics)
        .update_field(identity.kernel_profile)
        .update_field(identity.engine_version)
        .update_field(std::to_string(identity.seed))
        .update_field(settings);
    const std::string digest = hash.finish_hex();
    SQLite::Statement& add = w.database.statement(
        "INSERT INTO runs (model_id, label, numerics, kernel_profile, engine_version, seed, "
        "settings, identity) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (identity) DO NOTHING");
    add.bind(1, static_cast<int64_t>(model));
    add.bind(2, identity.label);
    add.bind(3, identity.numerics);
    add.bind(4, identity.kernel_profile);
    add.bind(5, identity.engine_version);
    add.bind(6, static_cast<int64_t>(identity.seed));
    add.bind(7, settings);
    add.bind(8, digest);
    add.exec();
    SQLite::Statement& find = w.database.statement("SELECT id FROM runs WHERE identity = ?");
    find.bind(1, digest);
    const int64_t run = first_integer(find);
    SQLite::Statement& start = w.database.statement(
        "INSERT INTO sessions (run_id, command_line, host, started_at) VALUES (?, ?, ?, ?)");
    start.bind(1, run);
    start.bind(2, session.command_line);
    start.bind(3, host);
    start.bind(4, static_cast<int64_t>(std::time(nullptr)));
    start.exec();
    w.sessions[run] = w.database.connection().getLastInsertRowid();
    return run;
  });
  w.commit();
  return RunId{id};
}

EvaluationId Store::begin_evaluation(RunId run, const EvaluationIdentity& identity,
                                     const EvaluationDescription& description) {
  Writer& w = writer();
  const std::string settings = canonical_json(identity.settings, "task settings");
  Sha256 hash;
  hash.update_field(identity.task)
      .update_field(identity.variant)
      .update_field(std::to_string(identity.shots))
      .update_field(identity.task_digest)
      .update_field(identity.data_digest)
      .update_field(std::to_string(identity.limit))
      .update_field(std::to_string(identity.max_length))
      .update_field(identity.boundary_policy)
      .update_field(identity.sandbox_level)
      .update_field(std::to_string(identity.samples))
      .update_field(settings);
  const std::string digest = hash.finish_hex();
  json::Writer deviations;
  deviations.begin_array();
  for (const std::string& sentence : description.deviations) deviations.value(sentence);
  const std::string deviation_list = deviations.end_array().take();

  const int64_t id = w.in_batch([&] {
    SQLite::Statement& add = w.database.statement(
        "INSERT INTO evaluations (run_id, task, variant, shots, task_digest, data_digest, "
        "document_limit, max_length, boundary_policy, sandbox_level, samples, settings, identity, "
        "title, category, kind, primary_metric, higher_is_better, unit, aggregation, documents, "
        "population, deviations) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run_id, identity) DO UPDATE SET title = excluded.title, "
        "category = excluded.category, kind = excluded.kind, "
        "primary_metric = excluded.primary_metric, "
        "higher_is_better = excluded.higher_is_better, unit = excluded.unit, "
        "aggregation = excluded.aggregation, documents = excluded.documents, "
        "population = excluded.population, deviations = excluded.deviations");
    int column = 0;
    const auto text = [&](const std::string& value) { add.bind(++column, value); };
    const auto integer = [&](int64_t value) { add.bind(++column, value); };
    integer(number(run));
    text(identity.task);
    text(identity.variant);
    integer(identity.shots);
    text(identity.task_digest);
    text(identity.data_digest);
    integer(identity.limit);
    integer(identity.max_length);
    text(identity.boundary_policy);
    text(identity.sandbox_level);
    integer(identity.samples);
    text(settings);
    text(digest);
    text(description.title);
    text(description.category);
    text(description.kind);
    text(description.primary_metric);
    integer(description.higher_is_better ? 1 : 0);
    text(description.unit);
    text(description.aggregation);
    integer(description.documents);
    integer(description.population);
    text(deviation_list);
    add.exec();
    SQLite::Statement& find = w.database.statement(
        "SELECT id, status FROM evaluations WHERE run_id = ? AND identity = ?");
    find.bind(1, number(run));
    find.bind(2, digest);
    find.executeStep();
    const int64_t evaluation = find.getColumn(0).getInt64();
    const bool finished = find.getColumn(1).getString() == "finished";
    find.reset();
    if (!finished) {
      SQLite::Statement& reopen =
          w.database.statement("UPDATE runs SET status = 'running' WHERE id = ?");
      reopen.bind(1, number(run));
      reopen.exec();
    }
    return evaluation;
  });
  w.commit();
  return EvaluationId{id};
}

// -- results
// ---------------------------------------------------------------------------------------

void Store::put_item(EvaluationId evaluation, const ItemRecord& item) {
  Writer& w = writer();
  w.in_batch([&] {
    const int64_t document = add_document(w.database, item.document);
    SQLite::Statement& put = w.database.statement(
        "INSERT INTO items (evaluation_id, position, document_id, context_id, shots_used, "
        "truncated) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (evaluation_id, position) DO UPDATE SET "
        "document_id = excluded.document_id, context_id = excluded.context_id, "
        "shots_used = excluded.shots_used, truncated = excluded.truncated");
    put.bind(1, number(evaluation));
    put.bind(2, item.position);
    put.bind(3, document);
    if (!item.context.empty()) put.bind(4, w.texts.put_in_stream(number(evaluation), item.context));
    put.bind(5, item.shots_used);
    put.bind(6, item.truncated ? 1 : 0);
    put.exec();
  });
}

void Store::put_option(EvaluationId evaluation, const OptionRecord& option) {
  Writer& w = writer();
  if (option.logprob) check_finite(*option.logprob, path(), "a log-probability");
  if (option.uncond_logprob) check_finite(*option.uncond_logprob, path(), "a log-probability");
  if (option.whole_loss) check_finite(*option.whole_loss, path(), "a loss");
  w.in_batch([&] {
    SQLite::Statement& put = w.database.statement(
        "INSERT INTO options (evaluation_id, position, option, context_id, continuation_id, "
        "logprob, tokens, bytes, characters, greedy, boundary_merge, uncond_logprob, whole_loss, "
        "whole_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (evaluation_id, position, option) DO UPDATE SET "
        "context_id = coalesce(excluded.context_id, context_id), "
        "continuation_id = excluded.continuation_id, "
        "tokens = iif(excluded.logprob IS NULL, tokens, excluded.tokens), "
        "bytes = max(bytes, excluded.bytes), characters = max(characters, excluded.characters), "
        "greedy = iif(excluded.logprob IS NULL, greedy, excluded.greedy), "
        "boundary_merge = iif(excluded.logprob IS NULL, boundary_merge, excluded.boundary_merge), "
        "logprob = coalesce(excluded.logprob, logprob), "
        "uncond_logprob = coalesce(excluded.uncond_logprob, uncond_logprob), "
        "whole_loss = coalesce(excluded.whole_loss, whole_loss), "
        "whole_tokens = coalesce(excluded.whole_tokens, whole_tokens)");
    put.bind(1, number(evaluation));
    put.bind(2, option.position);
    put.bind(3, option.option);
    // Contexts of options (`partial`) share the item's exemplars, so they form a stream as well.
    if (option.context) put.bind(4, w.texts.put_in_stream(number(evaluation), *option.context));
    // Complete strings (`whole`) share their beginnings too; they form another stream.
    put.bind(5, w.texts.put_in_stream(-number(evaluation), option.continuation));
    bind_optional(put, 6, option.logprob);
    put.bind(7, option.tokens);
    put.bind(8, option.bytes);
    put.bind(9, option.characters);
    put.bind(10, option.greedy ? 1 : 0);
    put.bind(11, option.boundary_merge ? 1 : 0);
    bind_optional(put, 12, option.uncond_logprob);
    bind_optional(put, 13, option.whole_loss);
    bind_optional(put, 14, option.whole_tokens);
    put.exec();
  });
}

void Store::put_generation(EvaluationId evaluation, const GenerationRecord& generation) {
  Writer& w = writer();
  check_finite(generation.logprob, path(), "a log-probability");
  w.in_batch([&] {
    SQLite::Statement& put = w.database.statement(
        "INSERT OR REPLACE INTO generations (evaluation_id, position, sample, text, tokens, "
        "finish, "
        "logprob, extracted) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    put.bind(1, number(evaluation));
    put.bind(2, generation.position);
    put.bind(3, generation.sample);
    bind_text(put, 4, generation.text);
    static_assert(std::endian::native == std::endian::little, "token ids are stored as they lie");
    // A null pointer would be NULL, not an empty blob.
    const void* tokens =
        generation.tokens.empty() ? static_cast<const void*>("") : generation.tokens.data();
    put.bind(5, tokens, static_cast<int>(generation.tokens.size() * sizeof(int32_t)));
    put.bind(6, generation.finish);
    put.bind(7, generation.logprob);
    bind_text(put, 8, generation.extracted);
    put.exec();
  });
}

void Store::put_execution(EvaluationId evaluation, const ExecutionRecord& execution) {
  Writer& w = writer();
  w.in_batch([&] {
    SQLite::Statement& put = w.database.statement(
        "INSERT OR REPLACE INTO executions (evaluation_id, position, sample, execution, verdict, "
        "reason, level, volatile_wall_ms, volatile_cpu_ms, volatile_memory_bytes, volatile_record) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    put.bind(1, number(evaluation));
    put.bind(2, execution.position);
    put.bind(3, execution.sample);
    put.bind(4, execution.execution);
    put.bind(5, execution.verdict);
    bind_text(put, 6, execution.reason);
    put.bind(7, execution.level);
    put.bind(8, execution.volatile_wall_ms);
    put.bind(9, execution.volatile_cpu_ms);
    put.bind(10, execution.volatile_memory_bytes);
    bind_text(put, 11, execution.volatile_record);
    put.exec();
  });
}

void Store::copy_outputs(EvaluationId from, EvaluationId to, bool executions) {
  Writer& w = writer();
  const auto copy = [&](const std::string& table, const std::string& columns) {
    SQLite::Statement put(w.database.connection(),
                          "INSERT OR IGNORE INTO " + table + " (evaluation_id, " + columns +
                              ") SELECT ?, " + columns + " FROM " + table + " WHERE evaluation_id = ?");
    put.bind(1, number(to));
    put.bind(2, number(from));
    put.exec();
  };
  w.in_batch([&] {
    copy("items", "position, document_id, context_id, shots_used, truncated");
    copy("options",
         "position, option, context_id, continuation_id, logprob, tokens, bytes, characters, greedy, "
         "boundary_merge, uncond_logprob, whole_loss, whole_tokens");
    copy("generations", "position, sample, text, tokens, finish, logprob");
    if (executions) {
      copy("executions",
           "position, sample, execution, verdict, reason, level, volatile_wall_ms, volatile_cpu_ms, "
           "volatile_memory_bytes, volatile_record");
    }
  });
}

void Store::put_grade(EvaluationId evaluation, const GradeRecord& grade) {
  Writer& w = writer();
  for (const MetricValue& metric : grade.metrics) {
    check_finite(metric.value, path(), metric.metric.c_str());
    check_finite(metric.weight, path(), metric.metric.c_str());
  }
  w.in_batch([&] {
    SQLite::Statement& complete = w.database.statement(
        "UPDATE items SET graded = 1, tie = ?, predicted = ?, error = ? "
        "WHERE evaluation_id = ? AND position = ?");
    complete.bind(1, grade.tie ? 1 : 0);
    bind_text(complete, 2, grade.predicted);
    if (!grade.error.empty()) complete.bind(3, grade.error);
    complete.bind(4, number(evaluation));
    complete.bind(5, grade.position);
    if (complete.exec() != 1)
      throw_internal(
          "a grade for document " + std::to_string(grade.position) + ", which was not stored",
          path().string());
    for (const MetricValue& metric : grade.metrics) {
      const int64_t metric_id = w.metric_id(metric.metric);
      SQLite::Statement& put = w.database.statement(
          "INSERT OR REPLACE INTO metrics (evaluation_id, metric_id, position, value, weight) "
          "VALUES (?, ?, ?, ?, ?)");
      put.bind(1, number(evaluation));
      put.bind(2, metric_id);
      put.bind(3, grade.position);
      put.bind(4, metric.value);
      put.bind(5, metric.weight);
      put.exec();
    }
  });
}

void Store::add_expert_load(EvaluationId evaluation, const ExpertLoadRecord& load) {
  Writer& w = writer();
  w.in_batch([&] {
    SQLite::Statement& put = w.database.statement(
        "INSERT INTO expert_load (evaluation_id, layer, expert, tokens, weight) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (evaluation_id, layer, expert) DO UPDATE SET "
        "tokens = tokens + excluded.tokens, weight = weight + excluded.weight");
    for (size_t expert = 0; expert < load.tokens.size(); ++expert) {
      put.bind(1, number(evaluation));
      put.bind(2, load.layer);
      put.bind(3, static_cast<int64_t>(expert));
      put.bind(4, static_cast<int64_t>(load.tokens[expert]));
      put.bind(5, load.weight.at(expert));
      put.exec();
      put.reset();
    }
  });
}

}  // namespace assay::results
