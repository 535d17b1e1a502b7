#include "datasets/layout.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "datasets/adapters.h"
#include "datasets/files.h"

namespace assay::datasets {

namespace {

constexpr std::array<std::string_view, 18> kSplitKeys = {
    "format", "files",        "split_name", "header",  "columns", "delimiter",
    "quotes", "invalid_utf8", "newlines",   "records", "fields",  "without",
    "labels", "where",        "cluster",    "adapter", "comment", "gather"};
constexpr std::array<std::string_view, 4> kTopKeys = {"groups", "group_field", "splits", "origin"};
constexpr std::array<std::string_view, 2> kCountKeys = {"rows", "rows_per_group"};

void check_keys(json::Value object, const std::vector<std::string_view>& known) {
  object.for_each_member([&](std::string_view key, json::Value value) {
    if (std::find(known.begin(), known.end(), key) != known.end()) return;
    const std::string near = nearest_word(key, known.data(), known.size());
    value.fail("unknown key", near.empty() ? "" : "did you mean \"" + near + "\"?");
  });
}

void check_format(json::Value value) {
  constexpr std::array<std::string_view, 7> kFormats = {
      "csv", "jsonl", "json", "text", "agieval-prompts", "wikitext-pages", "humaneval-lines"};
  if (std::find(kFormats.begin(), kFormats.end(), value.string()) == kFormats.end()) {
    value.fail("unknown format \"" + std::string(value.string()) + "\"");
  }
}

// A pattern, or {"file": pattern, "format": its own}.
FilePattern parse_pattern(json::Value value) {
  if (value.is_string()) return {std::string(value.string()), ""};
  check_keys(value, {"file", "format"});
  check_format(value.at("format"));
  return {std::string(value.at("file").string()), std::string(value.at("format").string())};
}

std::vector<FilePattern> alternatives_of(json::Value value) {
  if (!value.is_array()) return {parse_pattern(value)};
  std::vector<FilePattern> list;
  value.for_each_element([&](json::Value v) { list.push_back(parse_pattern(v)); });
  if (list.empty()) value.fail("lists no file");
  return list;
}

std::vector<std::vector<FilePattern>> parse_files(json::Value value) {
  if (!value.is_array()) return {{parse_pattern(value)}};
  std::vector<std::vector<FilePattern>> files;
  value.for_each_element([&](json::Value entry) { files.push_back(alternatives_of(entry)); });
  if (files.empty()) value.fail("lists no file");
  return files;
}

std::vector<Condition> parse_where(json::Value value) {
  std::vector<Condition> conditions;
  value.for_each_member([&](std::string_view key, json::Value v) {
    if (v.is_array()) {
      if (v.size() != 2) v.fail("expected a value or [from, to]");
      conditions.push_back({std::string(key), field_of(v[0]), field_of(v[1])});
      if (conditions.back().from.index() != conditions.back().to.index()) v.fail("mixes types");
    } else {
      conditions.push_back({std::string(key), field_of(v), field_of(v)});
    }
  });
  return conditions;
}

// Applies the keys of `object` (the top, then the split itself) over what `out` holds.
void apply_keys(json::Value object, SplitLayout& out) {
  if (const auto v = object.find("format"); v.exists()) {
    check_format(v);
    out.format = v.string();
  }
  if (const auto v = object.find("files"); v.exists()) out.files = parse_files(v);
  out.file_name = object.string_or("split_name", out.file_name);
  out.header = object.boolean_or("header", out.header);
  out.quotes = object.boolean_or("quotes", out.quotes);
  if (const auto v = object.find("columns"); v.exists()) out.columns = v.strings();
  out.delimiter = object.string_or("delimiter", out.delimiter);
  if (out.delimiter != "auto" && out.delimiter.size() != 1) {
    object.at("delimiter").fail("expected one character, or \"auto\"");
  }
  if (const auto v = object.find("newlines"); v.exists()) {
    if (v.string() != "lf" && v.string() != "keep") v.fail("expected \"lf\" or \"keep\"");
    out.keep_newlines = v.string() == "keep";
  }
  if (const auto v = object.find("invalid_utf8"); v.exists()) {
    if (v.string() != "replace" && v.string() != "error") v.fail("expected error or replace");
    out.replace_invalid = v.string() == "replace";
  }
  out.records = object.string_or("records", out.records);
  out.adapter = object.string_or("adapter", out.adapter);
  if (!out.adapter.empty() && !find_adapter(out.adapter)) {
    object.at("adapter").fail("unknown adapter \"" + out.adapter + "\"");
  }
  if (const auto v = object.find("fields"); v.exists()) {
    out.fields.clear();
    v.for_each_member([&](std::string_view name, json::Value rule) {
      out.fields.emplace_back(std::string(name), rule);
    });
  }
  if (const auto v = object.find("gather"); v.exists()) {
    out.gathered.clear();
    v.for_each_member([&](std::string_view name, json::Value rule) {
      check_keys(rule, {"field", "same"});
      out.gathered.push_back({std::string(name), std::string(rule.at("field").string()),
                              std::string(rule.at("same").string())});
    });
  }
  if (const auto v = object.find("without"); v.exists()) {
    for (const std::string& name : v.strings()) {
      std::erase_if(out.fields, [&](const FieldRule& rule) { return rule.name() == name; });
    }
  }
  if (const auto v = object.find("labels"); v.exists()) {
    out.labels_files = alternatives_of(v.at("file"));
    out.labels_field = v.at("field").string();
  }
  if (const auto v = object.find("where"); v.exists()) out.where = parse_where(v);
  out.cluster = object.string_or("cluster", out.cluster);
}

// One file, or one for each group where the address names {group}.
void parse_origin_file(json::Value v, Layout& layout) {
  check_keys(v, {"url", "to", "sha256", "bytes"});
  const std::string url(v.at("url").string()), to(v.at("to").string());
  const std::filesystem::path path(to);
  if (to.empty() || path.is_absolute() || path.lexically_normal().string().starts_with("..")) {
    v.at("to").fail("must lie below the data root");
  }
  if (url.find("{group}") == std::string::npos) {
    layout.origin.push_back({url, to, v.string_or("sha256", ""), v.integer_or("bytes", -1)});
    return;
  }
  const json::Value digests = v.find("sha256");
  for (const Group& group : layout.groups) {
    layout.origin.push_back({fill_pattern(url, "", group.name), fill_pattern(to, "", group.name),
                             digests.exists() ? digests.string_or(group.name, "") : "", -1});
  }
}

}  // namespace

Layout parse_layout(json::Value data) {
  Layout layout;
  std::vector<std::string_view> known(kSplitKeys.begin(), kSplitKeys.end());
  std::vector<std::string_view> top = known, split = known;
  top.insert(top.end(), kTopKeys.begin(), kTopKeys.end());
  split.insert(split.end(), kCountKeys.begin(), kCountKeys.end());
  check_keys(data, top);
  data.at("splits").for_each_member([&](std::string_view name, json::Value value) {
    check_keys(value, split);
    SplitLayout out;
    out.name = out.file_name = name;
    apply_keys(data, out);
    apply_keys(value, out);
    if (out.files.empty()) value.fail("has no \"files\"");
    if (out.format == "csv" && !out.header && out.columns.empty()) {
      value.fail("a csv file without header needs \"columns\"");
    }
    out.rows = value.integer_or("rows", -1);
    if (const auto rows = value.find("rows_per_group"); rows.exists() && rows.is_object()) {
      rows.for_each_member([&](std::string_view group, json::Value n) {
        out.group_rows[std::string(group)] = n.integer();
      });
    } else if (rows.exists()) {
      out.group_rows["*"] = rows.integer();
    }
    if (!layout.splits.emplace(std::string(name), std::move(out)).second) {
      value.fail("is listed twice");
    }
  });
  if (const auto groups = data.find("groups"); groups.exists()) {
    groups.for_each_element([&](json::Value v) {
      Group group;
      if (v.is_string()) {
        group.name = v.string();
      } else {
        const auto parts = v.strings();
        if (parts.empty() || parts.size() > 3) v.fail("expected [name, display name, category]");
        group.name = parts[0];
        if (parts.size() > 1) group.display_name = parts[1];
        if (parts.size() > 2) group.category = parts[2];
      }
      for (const Group& other : layout.groups) {
        if (other.name == group.name) v.fail("group \"" + group.name + "\" is listed twice");
      }
      if (group.display_name.empty()) {
        group.display_name = group.name;
        std::replace(group.display_name.begin(), group.display_name.end(), '_', ' ');
      }
      layout.groups.push_back(std::move(group));
    });
  }
  layout.group_field = data.string_or("group_field", "");
  if (!layout.group_field.empty() && layout.groups.empty()) {
    data.at("group_field").fail("needs \"groups\"");
  }
  if (const auto origin = data.find("origin"); origin.exists()) {
    check_keys(origin, {"home", "licence", "note", "files"});
    layout.home = origin.string_or("home", "");
    layout.licence = origin.string_or("licence", "");
    layout.note = origin.string_or("note", "");
    if (const auto files = origin.find("files"); files.exists()) {
      files.for_each_element([&](json::Value v) { parse_origin_file(v, layout); });
    }
  }
  return layout;
}

}  // namespace assay::datasets
