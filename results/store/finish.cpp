// Aggregates of a finished evaluation.
#include <algorithm>
#include <ctime>
#include <map>
#include <set>

#include "base/error.h"
#include "base/json.h"
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
  int32_t cluster = 0;
  bool error = false;
};
using Items = std::map<int64_t, Graded>;

struct Plan {
  int64_t documents = -1;
  std::string headline;
  // Share of the split that was drawn; 0 where documents are not a random sample of it. The intervals
  // of a sample say where the split's own score lies, and shrink to it as the sample grows.
  double drawn = 0;
};

// A hash sample (`--limit` without `--limit-first`) of a split whose size is known.
double drawn_share(int64_t documents, int64_t limit, int64_t population, const std::string& settings) {
  if (limit == 0 || population <= documents) return 0;
  const json::Document parsed = json::Document::parse(settings, "task settings");
  if (parsed.root().boolean_or("limit_first", false)) return 0;
  return static_cast<double>(documents) / static_cast<double>(population);
}

Items load_items(detail::Database& db, int64_t evaluation, const Plan& plan) {
  Items items;
  Numbering clusters;
  int64_t ungraded = 0;
  db.for_each_row(
      "SELECT i.position, i.graded, i.error IS NOT NULL, d.group_name, d.cluster FROM items i "
      "JOIN documents d ON d.id = i.document_id WHERE i.evaluation_id = ? ORDER BY i.position",
      [&](auto& q) { q.bind(1, evaluation); },
      [&](auto& q) {
        if (q.getColumn(1).getInt() == 0) ++ungraded;
        items.emplace(q.getColumn(0).getInt64(),
                      Graded{detail::column_text(q, 3), clusters.number(detail::column_text(q, 4)),
                             q.getColumn(2).getInt() != 0});
      });
  if (static_cast<int64_t>(items.size()) != plan.documents || ungraded > 0)
    throw_internal("an evaluation was finished with " + std::to_string(items.size()) + " of " +
                       std::to_string(plan.documents) + " documents, " + std::to_string(ungraded) +
                       " of them not graded",
                   db.path().string());
  return items;
}

std::vector<AggregateRule> default_rules(const Items& items) {
  std::map<std::string, std::vector<int64_t>> groups;
  AggregateRule micro{"micro", {{}}}, macro{"macro", {}};
  for (const auto& [position, item] : items) {
    micro.strata[0].push_back(position);
    if (!item.group.empty()) groups[item.group].push_back(position);
  }
  std::vector<AggregateRule> rules{micro};
  for (const auto& [group, positions] : groups) macro.strata.push_back(positions);
  if (!groups.empty()) rules.push_back(std::move(macro));
  for (const auto& [group, positions] : groups) rules.push_back({"group:" + group, {positions}});
  return rules;
}

void store_strata(detail::Database& db, int64_t evaluation, const AggregateRule& headline) {
  SQLite::Statement clear(db.connection(),
                          "UPDATE items SET stratum = NULL WHERE evaluation_id = ?");
  clear.bind(1, evaluation);
  clear.exec();
  SQLite::Statement set(db.connection(),
                        "UPDATE items SET stratum = ? WHERE evaluation_id = ? AND position = ?");
  std::set<int64_t> seen;
  for (size_t stratum = 0; stratum < headline.strata.size(); ++stratum) {
    for (const int64_t position : headline.strata[stratum]) {
      if (!seen.insert(position).second)
        throw_internal("aggregate " + headline.name + ": its strata overlap", db.path().string());
      set.reset();
      set.bind(1, static_cast<int64_t>(stratum));
      set.bind(2, evaluation);
      set.bind(3, position);
      set.exec();
    }
  }
}

}  // namespace

void Store::finish_evaluation(EvaluationId evaluation, std::span<const AggregateRule> given) {
  Writer& w = writer();
  const auto id = static_cast<int64_t>(evaluation);
  w.in_batch([&] {
    detail::Database& db = w.database;
    Plan plan;
    db.for_each_row(
        "SELECT documents, aggregation, document_limit, population, settings FROM evaluations "
        "WHERE id = ?",
        [&](auto& q) { q.bind(1, id); },
        [&](auto& q) {
          plan = {q.getColumn(0).getInt64(), q.getColumn(1).getString(),
                  drawn_share(q.getColumn(0).getInt64(), q.getColumn(2).getInt64(),
                              q.getColumn(3).getInt64(), detail::column_text(q, 4))};
        });
    const Items items = load_items(db, id, plan);
    const std::vector<AggregateRule> rules =
        given.empty() ? default_rules(items)
                      : std::vector<AggregateRule>(given.begin(), given.end());
    const auto headline = std::find_if(rules.begin(), rules.end(), [&](const AggregateRule& rule) {
      return rule.name == plan.headline;
    });
    if (headline == rules.end() && !items.empty())
      throw_internal("no aggregate is called " + plan.headline, path().string());
    if (headline != rules.end()) store_strata(db, id, *headline);

    // metric -> position -> observation
    std::map<std::string, std::map<int64_t, Observation>> metrics;
    db.for_each_row(
        "SELECT n.name, m.position, m.value, m.weight FROM metrics m "
        "JOIN metric_names n ON n.id = m.metric_id WHERE m.evaluation_id = ? "
        "ORDER BY m.metric_id, m.position",
        [&](auto& q) { q.bind(1, id); },
        [&](auto& q) {
          const int64_t position = q.getColumn(1).getInt64();
          const Graded& item = items.at(position);
          if (item.error) return;
          metrics[q.getColumn(0).getString()][position] = {
              q.getColumn(2).getDouble(), q.getColumn(3).getDouble(), 0, item.cluster};
        });

    SQLite::Statement clear(db.connection(), "DELETE FROM aggregates WHERE evaluation_id = ?");
    clear.bind(1, id);
    clear.exec();
    SQLite::Statement add(
        db.connection(),
        "INSERT INTO aggregates (evaluation_id, metric, name, strata, value, standard_error, low, "
        "high, interval, n, clusters, errors) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (const auto& [metric, values] : metrics) {
      for (const AggregateRule& rule : rules) {
        std::vector<Observation> observations;
        int64_t errors = 0;
        for (size_t stratum = 0; stratum < rule.strata.size(); ++stratum) {
          for (const int64_t position : rule.strata[stratum]) {
            const auto item = items.find(position);
            if (item == items.end())
              throw_internal("aggregate " + rule.name + ": no document " + std::to_string(position),
                             path().string());
            if (item->second.error) ++errors;
            const auto value = values.find(position);
            if (value == values.end()) continue;  // an error, or a metric of some documents only
            observations.push_back(value->second);
            observations.back().group = static_cast<int32_t>(stratum);
          }
        }
        if (observations.empty()) continue;
        // One stratum named "micro" keeps its clusters; subjects and other strata are given.
        Estimate estimate = rule.name == "micro" ? statistics::micro_mean(observations)
                                                 : statistics::macro_mean(observations);
        if (plan.drawn > 0) estimate = statistics::of_finite_population(estimate, plan.drawn);
        add.tryReset();
        add.clearBindings();
        add.bind(1, id);
        add.bind(2, metric);
        add.bind(3, rule.name);
        add.bind(4, static_cast<int64_t>(rule.strata.size()));
        add.bind(5, estimate.value);
        if (estimate.standard_error) add.bind(6, *estimate.standard_error);
        if (estimate.interval) {
          add.bind(7, estimate.interval->low);
          add.bind(8, estimate.interval->high);
        }
        add.bind(9, std::string(estimate.method) + (plan.drawn > 0 ? " finite" : ""));
        add.bind(10, estimate.n);
        add.bind(11, estimate.clusters);
        add.bind(12, errors);
        add.exec();
      }
    }
    SQLite::Statement finish(db.connection(),
                             "UPDATE evaluations SET status = 'finished' WHERE id = ?");
    finish.bind(1, id);
    finish.exec();
  });
  w.commit();
}

void Store::finish_run(RunId run, const std::string& facts) {
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
                            "UPDATE sessions SET finished_at = ?, host = json_patch(host, ?) "
                            "WHERE id = ?");
    close.bind(1, static_cast<int64_t>(std::time(nullptr)));
    close.bind(2, facts);
    close.bind(3, session->second);
    close.exec();
  });
  w.commit();
}

}  // namespace assay::results
