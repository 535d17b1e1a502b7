#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "base/json.h"
#include "results/report/report_data.h"
#include "results/store/database.h"

namespace assay::results::report {
namespace {

using detail::column_text;

// Strings of the page, each once. Rows of the store's table `texts` keep their division into prefix
// and rest.
class Texts {
 public:
  Texts(const Store& store, size_t most) : store_(store), most_(most) {}

  int64_t add(const std::string& text) {
    if (text.empty()) return -1;
    const auto [entry, added] = by_content_.try_emplace(text, texts_.size());
    if (added) texts_.push_back({-1, cut(text)});
    return static_cast<int64_t>(entry->second);
  }
  int64_t add_row(std::optional<int64_t> id) {
    if (!id) return -1;
    const auto known = by_row_.find(*id);
    if (known != by_row_.end()) return known->second;
    std::optional<int64_t> prefix;
    std::string content;
    SQLite::Statement& q =
        store_.database().statement("SELECT prefix_id, content FROM texts WHERE id = ?");
    q.bind(1, *id);
    if (q.executeStep()) {
      if (!q.getColumn(0).isNull()) prefix = q.getColumn(0).getInt64();
      content = column_text(q, 1);
    }
    q.reset();
    int64_t result;
    if (prefix) {
      texts_.push_back({add_prefix(*prefix), cut(content)});
      result = static_cast<int64_t>(texts_.size()) - 1;
    } else {
      result = add(content);
    }
    by_row_[*id] = result;
    return result;
  }
  void write(json::Writer& out) const {
    out.key("prefixes").begin_array();
    for (const std::string& prefix : prefixes_) out.value(prefix);
    out.end_array().key("texts").begin_array();
    for (const auto& [prefix, rest] : texts_)
      out.begin_array().value(prefix).value(rest).end_array();
    out.end_array();
  }

 private:
  int64_t add_prefix(int64_t id) {
    const auto [entry, added] =
        prefix_by_row_.try_emplace(id, static_cast<int64_t>(prefixes_.size()));
    if (added) {
      SQLite::Statement& q = store_.database().statement(
          "SELECT content FROM texts WHERE id = ? AND prefix_id IS NULL");
      q.bind(1, id);
      prefixes_.push_back(q.executeStep() ? cut(column_text(q, 0)) : "");
      q.reset();
    }
    return entry->second;
  }
  std::string cut(const std::string& text) const {
    if (text.size() <= most_) return text;
    return text.substr(0, most_) + "\n[... " + std::to_string(text.size() - most_) +
           " more bytes are in the store]";
  }

  const Store& store_;
  size_t most_;
  std::vector<std::pair<int64_t, std::string>> texts_;
  std::vector<std::string> prefixes_;
  // Looked up, never iterated.
  std::unordered_map<std::string, size_t> by_content_;
  std::unordered_map<int64_t, int64_t> by_row_, prefix_by_row_;
};

struct RunColumns {
  std::vector<char> has, tie;
  std::vector<std::optional<double>> value;
  std::vector<int64_t> predicted, error, generation, verdict;
  std::vector<std::string> finish;
  std::vector<std::vector<std::optional<double>>> logprobs;
  std::vector<std::vector<int64_t>> tokens;
};

struct Documents {
  std::vector<std::string> ids;
  std::vector<int64_t> gold, prompt;
  std::vector<size_t> group;
  std::vector<std::string> groups;
  std::vector<std::vector<int64_t>> options;  // continuation texts
  std::vector<std::optional<RunColumns>> runs;
};

// Documents of a row by first appearance: of one identity, runs ask the same documents in the same
// order, unless one was interrupted or the data changed.
class Collector {
 public:
  Collector(const Store& store, Texts& texts, size_t most)
      : store_(store), texts_(texts), most_(most) {}

  Documents collect(const Row& row) {
    Documents all;
    all.runs.resize(row.runs.size());
    for (size_t r = 0; r < row.runs.size(); ++r)
      if (row.runs[r]) add_run(*row.runs[r], all, all.runs[r].emplace());
    for (auto& columns : all.runs)
      if (columns) resize(*columns, all.ids.size());
    return all;
  }

 private:
  static void resize(RunColumns& c, size_t n) {
    c.has.resize(n, 0);
    c.tie.resize(n, 0);
    c.value.resize(n);
    for (auto* list : {&c.predicted, &c.error, &c.generation, &c.verdict}) list->resize(n, -1);
    c.finish.resize(n);
    c.logprobs.resize(n);
    c.tokens.resize(n);
  }

  void add_run(const EvaluationSummary& e, Documents& all, RunColumns& columns) {
    const auto bind = [&](auto& q) { q.bind(1, static_cast<int64_t>(e.id)); };
    // position -> index in `all`; positions are dense
    std::vector<int64_t> index;
    store_.database().for_each_row(
        "SELECT i.position, d.item_id, d.content_hash, d.group_name, d.gold, i.context_id, i.tie, "
        "i.predicted, i.error FROM items i JOIN documents d ON d.id = i.document_id "
        "WHERE i.evaluation_id = ? ORDER BY i.position",
        bind, [&](auto& q) {
          const auto position = static_cast<size_t>(q.getColumn(0).getInt64());
          if (index.size() <= position) index.resize(position + 1, -1);
          const std::string key = column_text(q, 1) + "\n" + column_text(q, 2);
          auto found = keys_.find(key);
          if (found == keys_.end()) {
            if (all.ids.size() >= most_) return;
            found = keys_.emplace(key, all.ids.size()).first;
            all.ids.push_back(column_text(q, 1));
            const std::string group = column_text(q, 3);
            auto at = std::find(all.groups.begin(), all.groups.end(), group);
            if (at == all.groups.end()) at = all.groups.insert(all.groups.end(), group);
            all.group.push_back(static_cast<size_t>(at - all.groups.begin()));
            all.gold.push_back(texts_.add(column_text(q, 4)));
            all.prompt.push_back(texts_.add_row(
                q.getColumn(5).isNull() ? std::nullopt
                                        : std::optional<int64_t>(q.getColumn(5).getInt64())));
            all.options.emplace_back();
          }
          const size_t i = found->second;
          index[position] = static_cast<int64_t>(i);
          if (columns.has.size() <= i) resize(columns, i + 1);
          columns.has[i] = 1;
          columns.tie[i] = q.getColumn(6).getInt() != 0;
          columns.predicted[i] = texts_.add(column_text(q, 7));
          columns.error[i] = texts_.add(column_text(q, 8));
        });
    const auto at = [&](auto& q) -> std::optional<size_t> {
      const auto position = static_cast<size_t>(q.getColumn(0).getInt64());
      if (position >= index.size() || index[position] < 0) return std::nullopt;
      return static_cast<size_t>(index[position]);
    };
    store_.database().for_each_row(
        "SELECT m.position, m.value FROM metrics m JOIN metric_names n ON n.id = m.metric_id "
        "WHERE m.evaluation_id = ?1 AND n.name = ?2",
        [&](auto& q) {
          bind(q);
          q.bind(2, e.description.primary_metric);
        },
        [&](auto& q) {
          if (const auto i = at(q)) columns.value[*i] = q.getColumn(1).getDouble();
        });
    store_.database().for_each_row(
        "SELECT position, option, continuation_id, context_id, logprob, tokens FROM options "
        "WHERE evaluation_id = ? ORDER BY position, option",
        bind, [&](auto& q) {
          const auto i = at(q);
          if (!i) return;
          const auto option = static_cast<size_t>(q.getColumn(1).getInt64());
          // Where options have contexts of their own (`partial`), those tell them apart.
          const int column = q.getColumn(3).isNull() ? 2 : 3;
          if (all.options[*i].size() <= option) {
            all.options[*i].resize(option + 1, -1);
            all.options[*i][option] = texts_.add_row(q.getColumn(column).getInt64());
          }
          columns.logprobs[*i].resize(option + 1);
          columns.tokens[*i].resize(option + 1);
          if (!q.getColumn(4).isNull()) columns.logprobs[*i][option] = q.getColumn(4).getDouble();
          columns.tokens[*i][option] = q.getColumn(5).getInt64();
        });
    store_.database().for_each_row(
        "SELECT position, text, finish FROM generations WHERE evaluation_id = ? AND sample = 0",
        bind, [&](auto& q) {
          const auto i = at(q);
          if (!i) return;
          // An empty answer is an answer.
          const std::string text = column_text(q, 1);
          columns.generation[*i] = texts_.add(text.empty() ? "(empty)" : text);
          columns.finish[*i] = column_text(q, 2);
        });
    store_.database().for_each_row(
        "SELECT position, verdict, reason FROM executions WHERE evaluation_id = ? AND sample = 0 "
        "AND execution = 0",
        bind, [&](auto& q) {
          const auto i = at(q);
          if (!i) return;
          const std::string reason = column_text(q, 2);
          columns.verdict[*i] =
              texts_.add(column_text(q, 1) + (reason.empty() ? "" : ": " + reason));
        });
  }

  const Store& store_;
  Texts& texts_;
  size_t most_;
  std::unordered_map<std::string, size_t> keys_;  // looked up, never iterated
};

template <class List>
void write_list(json::Writer& out, const char* key, const List& list) {
  out.key(key).begin_array();
  for (const auto& value : list) out.value(static_cast<int64_t>(value));
  out.end_array();
}

void write_run(json::Writer& out, const RunColumns& c) {
  out.begin_object();
  write_list(out, "has", c.has);
  write_list(out, "tie", c.tie);
  out.key("value").begin_array();
  for (const auto& value : c.value) out.value(value);
  out.end_array();
  write_list(out, "pred", c.predicted);
  write_list(out, "error", c.error);
  write_list(out, "gen", c.generation);
  write_list(out, "verdict", c.verdict);
  out.key("finish").begin_array();
  for (const std::string& finish : c.finish) out.value(finish);
  out.end_array().key("lp").begin_array();
  for (const auto& logprobs : c.logprobs) {
    out.begin_array();
    for (const auto& value : logprobs) {
      if (value)
        out.value(std::round(*value * 1e3) / 1e3);  // as many digits as are shown
      else
        out.null();
    }
    out.end_array();
  }
  out.end_array().key("tokens").begin_array();
  for (const auto& tokens : c.tokens) {
    out.begin_array();
    for (const int64_t n : tokens) out.value(n);
    out.end_array();
  }
  out.end_array().end_object();
}

}  // namespace

std::vector<TaskItems> items_json(const Store& store, const Rows& rows,
                                  const ReportOptions& options) {
  int64_t total = 0;
  for (const Row& row : rows) total += row.any().description.documents;
  const double share = total > static_cast<int64_t>(options.most_items)
                           ? static_cast<double>(options.most_items) / static_cast<double>(total)
                           : 1.0;
  std::vector<TaskItems> tasks;
  for (const Row& row : rows) {
    const int64_t documents = row.any().description.documents;
    const auto most = share >= 1 ? static_cast<size_t>(documents) * 2 + 1
                                 : static_cast<size_t>(static_cast<double>(documents) * share) + 1;
    Texts texts(store, options.most_text);
    const Documents all = Collector(store, texts, most).collect(row);
    json::Writer out;
    out.begin_object();
    out.member("left_out", std::max<int64_t>(0, documents - static_cast<int64_t>(all.ids.size())));
    out.key("id").begin_array();
    for (const std::string& id : all.ids) out.value(id);
    out.end_array().key("groups").begin_array();
    for (const std::string& group : all.groups) out.value(group);
    out.end_array();
    write_list(out, "group", all.group);
    write_list(out, "gold", all.gold);
    write_list(out, "prompt", all.prompt);
    out.key("options").begin_array();
    for (const auto& of_item : all.options) {
      out.begin_array();
      for (const int64_t text : of_item) out.value(text);
      out.end_array();
    }
    out.end_array().key("runs").begin_array();
    for (const auto& columns : all.runs) {
      if (columns)
        write_run(out, *columns);
      else
        out.null();
    }
    out.end_array();
    texts.write(out);
    tasks.push_back({out.end_object().take(), all.ids.size()});
  }
  return tasks;
}

}  // namespace assay::results::report
