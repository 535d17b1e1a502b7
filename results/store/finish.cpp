// Aggregates of a finished evaluation.
#include <ctime>
#include <map>

#include "base/error.h"
#include "results/statistics/aggregate.h"
#include "results/store/writer.h"

namespace assay::results {
namespace {

using statistics::Estimate;
using statistics::Observation;

// Gives out numbers for names in order of first appearance; "" gets a number of its own each time.
class Numbering {
 public:
  int32_t number(const std::string& name) {
    if (name.empty()) return next_++;
    const auto [entry, added] = numbers_.try_emplace(name, next_);
    if (added) ++next_;
    return entry->second;
  }

 private:
  std::map<std::string, int32_t> numbers_;
  int32_t next_ = 0;
};

struct Graded {
  std::string group;
  int32_t group_number = 0, cluster = 0;
  bool error = false;
};

}  // namespace

void Store::finish_evaluation(EvaluationId evaluation) {
  Writer& w = writer();
  const auto id = static_cast<int64_t>(evaluation);
  w.in_batch([&] {
    detail::Database& db = w.database;
    int64_t planned = -1;
    db.for_each_row(
        "SELECT documents FROM evaluations WHERE id = ?", [&](auto& q) { q.bind(1, id); },
        [&](auto& q) { planned = q.getColumn(0).getInt64(); });

    std::map<int64_t, Graded> items;
    Numbering clusters;
    std::map<std::string, int32_t> groups;
    std::map<std::string, int64_t> errors;
    int64_t ungraded = 0;
    db.for_each_row(
        "SELECT i.position, i.graded, i.error IS NOT NULL, d.group_name, d.cluster FROM items i "
        "JOIN documents d ON d.id = i.document_id WHERE i.evaluation_id = ? ORDER BY i.position",
        [&](auto& q) { q.bind(1, id); },
        [&](auto& q) {
          Graded item;
          item.group = detail::column_text(q, 3);
          item.group_number =
              groups.try_emplace(item.group, static_cast<int32_t>(groups.size())).first->second;
          item.cluster = clusters.number(detail::column_text(q, 4));
          item.error = q.getColumn(2).getInt() != 0;
          if (q.getColumn(1).getInt() == 0) ++ungraded;
          if (item.error) {
            ++errors[""];
            if (!item.group.empty()) ++errors[item.group];
          }
          items.emplace(q.getColumn(0).getInt64(), std::move(item));
        });
    if (static_cast<int64_t>(items.size()) != planned || ungraded > 0)
      throw_internal("an evaluation was finished with " + std::to_string(items.size()) + " of " +
                         std::to_string(planned) + " documents, " + std::to_string(ungraded) +
                         " of them not graded",
                     path().string());

    // metric -> observations in order of position
    std::map<std::string, std::vector<std::pair<const Graded*, Observation>>> metrics;
    db.for_each_row(
        "SELECT n.name, m.position, m.value, m.weight FROM metrics m "
        "JOIN metric_names n ON n.id = m.metric_id WHERE m.evaluation_id = ? "
        "ORDER BY m.metric_id, m.position",
        [&](auto& q) { q.bind(1, id); },
        [&](auto& q) {
          const Graded& item = items.at(q.getColumn(1).getInt64());
          if (item.error) return;
          metrics[q.getColumn(0).getString()].push_back(
              {&item, Observation{q.getColumn(2).getDouble(), q.getColumn(3).getDouble(),
                                  item.group_number, item.cluster}});
        });

    SQLite::Statement clear(db.connection(), "DELETE FROM aggregates WHERE evaluation_id = ?");
    clear.bind(1, id);
    clear.exec();
    SQLite::Statement add(
        db.connection(),
        "INSERT INTO aggregates (evaluation_id, metric, group_name, method, value, standard_error, "
        "low, high, interval, n, clusters, errors) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    const auto put = [&](const std::string& metric, const std::string& group, const char* method,
                         const Estimate& estimate) {
      add.tryReset();
      add.clearBindings();
      add.bind(1, id);
      add.bind(2, metric);
      add.bind(3, group);
      add.bind(4, std::string(method));
      add.bind(5, estimate.value);
      if (estimate.standard_error) add.bind(6, *estimate.standard_error);
      if (estimate.interval) {
        add.bind(7, estimate.interval->low);
        add.bind(8, estimate.interval->high);
      }
      add.bind(9, std::string(estimate.method));
      add.bind(10, estimate.n);
      add.bind(11, estimate.clusters);
      const auto failed = errors.find(group);
      add.bind(12, failed == errors.end() ? int64_t{0} : failed->second);
      add.exec();
    };
    for (const auto& [metric, values] : metrics) {
      std::vector<Observation> all;
      std::map<std::string, std::vector<Observation>> by_group;
      for (const auto& [item, observation] : values) {
        all.push_back(observation);
        if (!item->group.empty()) by_group[item->group].push_back(observation);
      }
      put(metric, "", "micro", statistics::micro_mean(all));
      if (by_group.empty()) continue;
      put(metric, "", "macro", statistics::macro_mean(all));
      for (auto& [group, members] : by_group) {
        // Within one subject its documents are independent, as in the macro mean.
        bool one = true;
        for (const Observation& o : members) one = one && o.cluster == members.front().cluster;
        if (one)
          for (size_t i = 0; i < members.size(); ++i) members[i].cluster = static_cast<int32_t>(i);
        put(metric, group, "micro", statistics::micro_mean(members));
      }
    }
    SQLite::Statement finish(db.connection(),
                             "UPDATE evaluations SET status = 'finished' WHERE id = ?");
    finish.bind(1, id);
    finish.exec();
  });
  w.commit();
}

void Store::finish_run(RunId run) {
  Writer& w = writer();
  const auto id = static_cast<int64_t>(run);
  w.in_batch([&] {
    SQLite::Statement finish(w.database.connection(),
                             "UPDATE runs SET status = 'finished' WHERE id = ? AND NOT EXISTS "
                             "(SELECT 1 FROM evaluations WHERE run_id = runs.id AND "
                             "status <> 'finished')");
    finish.bind(1, id);
    finish.exec();
    const auto session = w.sessions.find(id);
    if (session == w.sessions.end()) return;
    SQLite::Statement close(w.database.connection(),
                            "UPDATE sessions SET finished_at = ? WHERE id = ?");
    close.bind(1, static_cast<int64_t>(std::time(nullptr)));
    close.bind(2, session->second);
    close.exec();
  });
  w.commit();
}

}  // namespace assay::results
