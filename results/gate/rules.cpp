#include <algorithm>

#include "base/json.h"
#include "results/gate.h"

namespace assay::results {
namespace {

void check_keys(json::Value object, std::initializer_list<std::string_view> known) {
  object.for_each_member([&](std::string_view key, json::Value value) {
    if (std::find(known.begin(), known.end(), key) != known.end()) return;
    std::string list;
    for (const std::string_view name : known) list += (list.empty() ? "" : ", ") + std::string(name);
    value.fail("unknown key " + std::string(key), "known are " + list);
  });
}

}  // namespace

GateRules load_gate_rules(const std::filesystem::path& path) {
  const json::Document document = json::Document::load(path);
  const json::Value root = document.root();
  check_keys(root, {"alpha", "margin", "margin_bpb", "rules", "allow"});
  GateRules rules;
  rules.alpha = root.number_or("alpha", rules.alpha);
  if (!(rules.alpha > 0 && rules.alpha < 0.5))
    root.at("alpha").fail("must lie between 0 and 0.5");
  rules.margin = root.number_or("margin", rules.margin);
  rules.margin_bpb = root.number_or("margin_bpb", rules.margin_bpb);
  if (rules.margin < 0 || rules.margin_bpb < 0) root.fail("a margin must not be negative");
  if (const json::Value list = root.find("rules"); list.exists())
    list.for_each_element([&](json::Value value) {
      check_keys(value, {"task", "category", "margin", "floor", "average"});
      GateRule rule;
      rule.task = value.string_or("task", "");
      rule.category = value.string_or("category", "");
      if (!rule.task.empty() && !rule.category.empty())
        value.fail("a rule is for a task or for a category, not both");
      if (value.has("margin")) rule.margin = value.at("margin").number();
      if (rule.margin && *rule.margin < 0) value.fail("a margin must not be negative");
      if (value.has("floor")) rule.floor = value.at("floor").number();
      rule.average = value.boolean_or("average", false);
      if (rule.average && rule.category.empty()) value.fail("only a category has an average");
      rules.rules.push_back(std::move(rule));
    });
  if (const json::Value list = root.find("allow"); list.exists())
    list.for_each_element([&](json::Value value) {
      check_keys(value, {"task", "reason"});
      rules.allow[std::string(value.at("task").string())] =
          std::string(value.at("reason").string());
    });
  return rules;
}

}  // namespace assay::results
