#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/utf8.h"
#include "results/compare.h"
#include "results/scores.h"

namespace assay::results {
namespace {

std::string unit_of(const TaskComparison& task) {
  return task.metric == task.a.description.primary_metric ? task.a.description.unit : "raw";
}

std::string interval_text(const statistics::PairedEstimate& e, const std::string& unit) {
  if (!e.interval) return "";
  return "[" + difference_text(e.interval->low, unit) + ", " +
         difference_text(e.interval->high, unit) + "]";
}

std::string counts_text(const TaskComparison& task, const statistics::Discordance& counts) {
  const bool higher = task.a.description.higher_is_better;
  return std::to_string(higher ? counts.above : counts.below) + "/" +
         std::to_string(higher ? counts.below : counts.above) + "/" + std::to_string(counts.equal);
}

Tone tone_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::better:
      return Tone::good;
    case Verdict::worse:
      return Tone::bad;
    default:
      return Tone::plain;
  }
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::better:
      return "better";
    case Verdict::worse:
      return "worse";
    case Verdict::same:
      return "same";
    case Verdict::unclear:
      return "unclear";
  }
  return "";
}

// The last `lines` lines of a prompt, each safe and cut to `width` columns.
std::string tail(const std::string& text, size_t lines, size_t width, const std::string& indent) {
  std::vector<std::string> all;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    all.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::string out;
  const size_t first = all.size() > lines ? all.size() - lines : 0;
  if (first > 0) out += indent + "…\n";
  const size_t room = std::max<size_t>(20, width - indent.size());
  for (size_t i = first; i < all.size(); ++i) {
    std::string line = utf8::printable(all[i]);
    while (utf8::display_width(line) > room) {
      size_t at = 0, used = 0;
      while (at < line.size()) {
        size_t next = at;
        utf8::decode(line, next);
        const size_t columns = utf8::display_width(std::string_view(line).substr(at, next - at));
        if (used + columns > room) break;
        used += columns;
        at = next;
      }
      out += indent + line.substr(0, at) + "\n";
      line.erase(0, at);
    }
    out += indent + line + "\n";
  }
  return out;
}

std::string number_or_blank(const OptionRecord* option) {
  if (option == nullptr || !option->logprob) return "-";
  return fixed_text(*option->logprob, 3);
}

std::string padded_left(std::string text, size_t width) {
  const size_t columns = utf8::display_width(text);
  return columns < width ? std::string(width - columns, ' ') + text : text;
}

std::string flip_text(const Store& store, const TaskComparison& task, const Flip& flip,
                      size_t width) {
  const ItemDetail a = item_detail(store, task.a.id, flip.position_a);
  const ItemDetail b = item_detail(store, task.b.id, flip.position_b);
  const std::string indent = "    ";
  std::string out = "  " + utf8::printable(flip.item_id) + "  " + task.metric + " " +
                    fixed_text(flip.value_a, 3) + " -> " + fixed_text(flip.value_b, 3) + "  gold " +
                    utf8::printable(a.item.document.gold).substr(0, 40) + "\n";
  if (!a.item.context.empty()) out += tail(a.item.context, 8, width, indent);
  if (!a.options.empty()) {
    out += indent + "        A         B  option\n";
    for (size_t k = 0; k < a.options.size(); ++k) {
      const OptionRecord* in_b = k < b.options.size() ? &b.options[k] : nullptr;
      std::string text = utf8::printable(a.options[k].continuation);
      if (a.options[k].context && a.item.context.empty() && utf8::display_width(text) < 40)
        text = utf8::printable(*a.options[k].context) + " | " + text;
      const size_t room = width > indent.size() + 22 ? width - indent.size() - 22 : 20;
      while (utf8::display_width(text) > room) {
        // Cut whole code points from the end.
        do text.pop_back();
        while (!text.empty() && (static_cast<uint8_t>(text.back()) & 0xC0) == 0x80);
        if (!text.empty() && static_cast<uint8_t>(text.back()) >= 0xC0) text.pop_back();
      }
      out += indent + padded_left(number_or_blank(&a.options[k]), 9) + " " +
             padded_left(number_or_blank(in_b), 9) + "  " + text + "\n";
    }
  }
  for (size_t s = 0; s < std::max(a.generations.size(), b.generations.size()) && s < 1; ++s) {
    const auto show = [&](const char* run, const ItemDetail& detail) {
      if (s >= detail.generations.size()) return;
      const GenerationRecord& g = detail.generations[s];
      std::string verdict;
      for (const ExecutionRecord& x : detail.executions)
        if (x.sample == g.sample) verdict = ", " + utf8::printable(x.verdict);
      out += indent + run + " answered (" + utf8::printable(g.finish) + verdict + "):\n" +
             tail(g.text, 8, width, indent + "  ");
    };
    show("A", a);
    show("B", b);
  }
  return out + "\n";
}

void write_estimate(json::Writer& out, const statistics::PairedEstimate& e) {
  out.member("a", e.a).member("b", e.b).member("difference", e.difference);
  out.member("standard_error", e.standard_error);
  out.member("low", e.interval ? std::optional(e.interval->low) : std::nullopt);
  out.member("high", e.interval ? std::optional(e.interval->high) : std::nullopt);
  out.member("interval", std::string(e.interval_method));
  out.member("p", e.p);
  out.member("test", std::string(e.p_method));
  out.member("above", e.counts.above)
      .member("below", e.counts.below)
      .member("equal", e.counts.equal);
  out.member("documents", e.n).member("clusters", e.clusters);
}

void write_strings(json::Writer& out, const char* key, const std::vector<std::string>& strings) {
  out.key(key).begin_array();
  for (const std::string& text : strings) out.value(text);
  out.end_array();
}

}  // namespace

Table comparison_table(const Comparison& comparison) {
  Table table;
  table.title = "A = " + comparison.a.identity.label + ", B = " + comparison.b.identity.label;
  if (comparison.forced) table.title += "  [forced: the runs are not alike]";
  table.columns = {{"task", Align::left}, {"A"}, {"B"},    {"B − A"},
                   {"95 % interval"},     {"p"}, {"adj."}, {"win/loss/tie"}};
  std::string category;
  for (const TaskComparison& task : comparison.tasks) {
    if (task.a.description.category != category) {
      category = task.a.description.category;
      table.rows.push_back({category, {}});
    }
    const std::string unit = unit_of(task);
    const auto& e = task.estimate;
    table.rows.push_back(
        {"",
         {{task.a.description.title.empty() ? task.a.identity.task : task.a.description.title},
          {score_text(e.a, unit)},
          {score_text(e.b, unit)},
          {difference_text(e.difference, unit),
           task.verdict == Verdict::better || task.verdict == Verdict::worse,
           tone_of(task.verdict)},
          {interval_text(e, unit)},
          {e.p ? p_text(*e.p) : ""},
          {e.p ? p_text(task.p_bh) : ""},
          {counts_text(task, e.counts)}}});
  }
  return table;
}

std::string comparison_details(const Store& store, const Comparison& comparison, size_t width) {
  std::string out;
  const auto say = [&](const std::string& text) { out += wrap_text(text, width); };
  for (const TaskComparison& task : comparison.tasks) {
    say(evaluation_name(task.a) + ": " + task.sentence + ".");
    if (task.only_a + task.only_b + task.changed + task.unjudged > 0)
      say("  not compared: " + std::to_string(task.only_a) + " documents only in A, " +
          std::to_string(task.only_b) + " only in B, " + std::to_string(task.changed) +
          " with another content, " + std::to_string(task.unjudged) + " without a value.");
    for (const std::string& line : task.differences) say("  not alike: " + line);
  }
  for (const std::string& line : comparison.differences) say("not alike: " + line);
  for (const std::string& line : comparison.notes) say("note: " + line);
  for (const std::string& line : comparison.left_out) say("left out: " + line);
  say("adj.: Benjamini-Hochberg over " + std::to_string(comparison.tasks.size()) +
      (comparison.tasks.size() == 1 ? " task." : " tasks."));
  for (const TaskComparison& task : comparison.tasks) {
    if (task.groups.empty()) continue;
    const std::string unit = unit_of(task);
    Table table;
    table.title = evaluation_name(task.a) + " by subject";
    table.columns = {{"subject", Align::left}, {"A"}, {"B"},    {"B − A"},
                     {"95 % interval"},        {"p"}, {"adj."}, {"w/l/t"}};
    for (const GroupComparison& group : task.groups) {
      const auto& e = group.estimate;
      const double change = task.a.description.higher_is_better ? e.difference : -e.difference;
      const bool clear = group.p_adjusted < 0.05;
      table.rows.push_back({"",
                            {{group.group.empty() ? "(none)" : group.group},
                             {score_text(e.a, unit)},
                             {score_text(e.b, unit)},
                             {difference_text(e.difference, unit), clear,
                              clear ? (change > 0 ? Tone::good : Tone::bad) : Tone::plain},
                             {interval_text(e, unit)},
                             {e.p ? p_text(*e.p) : ""},
                             {e.p ? p_text(group.p_adjusted) : ""},
                             {counts_text(task, e.counts)}}});
    }
    out += "\n" + render(table, Format::terminal, {width, false});
  }
  for (const TaskComparison& task : comparison.tasks) {
    if (task.flips.empty()) continue;
    const size_t shown = std::min(task.flips.size(), comparison.most_flips);
    out += "\n" + utf8::printable(evaluation_name(task.a)) + ": " +
           std::to_string(task.flips.size()) + " documents changed" +
           (shown < task.flips.size() ? "; " + std::to_string(shown) + " of them:" : ":") + "\n\n";
    for (size_t i = 0; i < shown; ++i) out += flip_text(store, task, task.flips[i], width);
  }
  return out;
}

std::string comparison_json(const Comparison& comparison) {
  json::Writer out;
  out.begin_object();
  out.member("a", comparison.a.identity.label).member("b", comparison.b.identity.label);
  out.member("a_identity", comparison.a.digest).member("b_identity", comparison.b.digest);
  out.member("forced", comparison.forced);
  write_strings(out, "differences", comparison.differences);
  write_strings(out, "notes", comparison.notes);
  write_strings(out, "left_out", comparison.left_out);
  out.key("tasks").begin_array();
  for (const TaskComparison& task : comparison.tasks) {
    out.begin_object();
    out.member("task", task.a.identity.task).member("variant", task.a.identity.variant);
    out.member("shots", task.a.identity.shots).member("metric", task.metric);
    out.member("unit", unit_of(task));
    out.member("higher_is_better", task.a.description.higher_is_better);
    write_estimate(out, task.estimate);
    out.member("p_holm", task.p_holm).member("p_benjamini_hochberg", task.p_bh);
    out.member("detectable", task.detectable);
    out.member("verdict", verdict_name(task.verdict)).member("sentence", task.sentence);
    out.member("only_a", task.only_a).member("only_b", task.only_b);
    out.member("changed", task.changed).member("unjudged", task.unjudged);
    write_strings(out, "differences", task.differences);
    out.key("groups").begin_array();
    for (const GroupComparison& group : task.groups) {
      out.begin_object().member("group", group.group);
      write_estimate(out, group.estimate);
      out.member("p_benjamini_hochberg", group.p_adjusted).end_object();
    }
    out.end_array().key("flips").begin_array();
    for (const Flip& flip : task.flips)
      out.begin_object()
          .member("item", flip.item_id)
          .member("group", flip.group)
          .member("a", flip.value_a)
          .member("b", flip.value_b)
          .end_object();
    out.end_array().end_object();
  }
  return out.end_array().end_object().take();
}

}  // namespace assay::results
