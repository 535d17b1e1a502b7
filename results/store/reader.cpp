// What a resumed evaluation needs to know.
#include <cstring>

#include "results/store/database.h"
#include "results/store/writer.h"

namespace assay::results {

using detail::aggregate_at;
using detail::column_text;
using detail::optional_double;

bool Store::is_finished(EvaluationId evaluation) const {
  bool finished = false;
  database_->for_each_row(
      "SELECT status = 'finished' FROM evaluations WHERE id = ?",
      [&](auto& q) { q.bind(1, static_cast<int64_t>(evaluation)); },
      [&](auto& q) { finished = q.getColumn(0).getInt() != 0; });
  return finished;
}

std::vector<int64_t> Store::finished_items(EvaluationId evaluation) const {
  std::vector<int64_t> positions;
  database_->for_each_row(
      "SELECT position FROM items WHERE evaluation_id = ? AND graded = 1 ORDER BY position",
      [&](auto& q) { q.bind(1, static_cast<int64_t>(evaluation)); },
      [&](auto& q) { positions.push_back(q.getColumn(0).getInt64()); });
  return positions;
}

std::vector<ItemState> Store::item_states(EvaluationId evaluation) const {
  const auto bind = [&](auto& q) { q.bind(1, static_cast<int64_t>(evaluation)); };
  std::vector<ItemState> items;
  database_->for_each_row(
      "SELECT i.position, d.item_id, d.content_hash, i.graded, i.error FROM items i "
      "JOIN documents d ON d.id = i.document_id WHERE i.evaluation_id = ? ORDER BY i.position",
      bind, [&](auto& q) {
        ItemState item;
        item.position = q.getColumn(0).getInt64();
        item.item_id = column_text(q, 1);
        item.content_hash = column_text(q, 2);
        item.graded = q.getColumn(3).getInt() != 0;
        item.error = column_text(q, 4);
        items.push_back(std::move(item));
      });
  // The other tables come in the same order: one pass merges each.
  size_t at = 0;
  const auto item_of = [&](int64_t position) -> ItemState& {
    while (items[at].position < position) ++at;
    return items[at];
  };
  database_->for_each_row(
      "SELECT position, option, logprob, tokens, bytes, characters, greedy, boundary_merge, "
      "uncond_logprob, whole_loss, whole_tokens FROM options WHERE evaluation_id = ? "
      "ORDER BY position, option",
      bind, [&](auto& q) {
        OptionRecord option;
        option.position = q.getColumn(0).getInt64();
        option.option = q.getColumn(1).getInt();
        option.logprob = optional_double(q, 2);
        option.tokens = q.getColumn(3).getInt64();
        option.bytes = q.getColumn(4).getInt64();
        option.characters = q.getColumn(5).getInt64();
        option.greedy = q.getColumn(6).getInt() != 0;
        option.boundary_merge = q.getColumn(7).getInt() != 0;
        option.uncond_logprob = optional_double(q, 8);
        option.whole_loss = optional_double(q, 9);
        if (!q.getColumn(10).isNull()) option.whole_tokens = q.getColumn(10).getInt64();
        item_of(option.position).options.push_back(std::move(option));
      });
  at = 0;
  database_->for_each_row(
      "SELECT position, sample, text, tokens, finish, logprob, extracted FROM generations "
      "WHERE evaluation_id = ? ORDER BY position, sample",
      bind, [&](auto& q) {
        GenerationRecord generation;
        generation.position = q.getColumn(0).getInt64();
        generation.sample = q.getColumn(1).getInt();
        generation.text = column_text(q, 2);
        const SQLite::Column tokens = q.getColumn(3);
        generation.tokens.resize(static_cast<size_t>(tokens.getBytes()) / sizeof(int32_t));
        if (!generation.tokens.empty())
          std::memcpy(generation.tokens.data(), tokens.getBlob(),
                      generation.tokens.size() * sizeof(int32_t));
        generation.finish = column_text(q, 4);
        generation.logprob = q.getColumn(5).getDouble();
        generation.extracted = column_text(q, 6);
        item_of(generation.position).generations.push_back(std::move(generation));
      });
  at = 0;
  database_->for_each_row(
      "SELECT position, sample, execution, verdict, reason, level, volatile_wall_ms, "
      "volatile_cpu_ms, volatile_memory_bytes FROM executions WHERE evaluation_id = ? "
      "ORDER BY position, sample, execution",
      bind, [&](auto& q) {
        ExecutionRecord execution;
        execution.position = q.getColumn(0).getInt64();
        execution.sample = q.getColumn(1).getInt();
        execution.execution = q.getColumn(2).getInt();
        execution.verdict = column_text(q, 3);
        execution.reason = column_text(q, 4);
        execution.level = column_text(q, 5);
        execution.volatile_wall_ms = q.getColumn(6).getDouble();
        execution.volatile_cpu_ms = q.getColumn(7).getDouble();
        execution.volatile_memory_bytes = q.getColumn(8).getInt64();
        item_of(execution.position).executions.push_back(std::move(execution));
      });
  return items;
}

std::vector<AggregateRecord> Store::aggregates(EvaluationId evaluation) const {
  std::vector<AggregateRecord> rows;
  database_->for_each_row(
      "SELECT metric, name, strata, value, standard_error, low, high, interval, n, clusters, "
      "errors "
      "FROM aggregates WHERE evaluation_id = ? ORDER BY metric, name",
      [&](auto& q) { q.bind(1, static_cast<int64_t>(evaluation)); },
      [&](auto& q) {
        rows.push_back(aggregate_at(q, 0));
      });
  return rows;
}

}  // namespace assay::results
