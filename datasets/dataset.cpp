#include "datasets/dataset.h"

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/utf8.h"
#include "datasets/files.h"
#include "datasets/layout.h"
#include "datasets/records.h"

namespace assay::datasets {

namespace fs = std::filesystem;

namespace {

const SplitLayout& layout_of(const DatasetSpec& spec, std::string_view split) {
  const auto& splits = spec.layout().splits;
  const auto it = splits.find(split);
  if (it != splits.end()) return it->second;
  std::string known;
  for (const auto& [name, layout] : splits) known += (known.empty() ? "" : ", ") + name;
  throw_usage("data set \"" + spec.task() + "\" has no split \"" + std::string(split) + "\"",
              "it has: " + known);
}

// Whether files differ by group.
bool has_group_files(const SplitLayout& split) {
  for (const auto& alternatives : split.files) {
    for (const FilePattern& file : alternatives) {
      if (file.pattern.find("{group") != std::string::npos) return true;
    }
  }
  return split.records.find("{group}") != std::string::npos || split.format == "agieval-prompts";
}

[[noreturn]] void fail_missing(const DatasetSpec& spec, const fs::path& root,
                               const std::string& path) {
  throw MissingData(ErrorKind::bad_input, "data file is missing", path,
                    "fetch it with: assay data fetch " + spec.task() + " --data " + root.string());
}

bool in_range(const FieldValue& value, const Condition& condition) {
  return value.index() == condition.from.index() && !(value < condition.from) &&
         !(condition.to < value);
}

std::string fill_template(const std::string& text, const Document& document) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text[at] == '{' ? text.find('}', at) : std::string::npos;
    if (end == std::string::npos) {
      out += text[at++];
      continue;
    }
    const std::string name = text.substr(at + 1, end - at - 1);
    at = end + 1;
    if (name == "group") {
      out += document.group;
    } else if (name == "index") {
      out += std::to_string(document.source_index);
    } else if (const auto it = document.fields.find(name); it != document.fields.end()) {
      out += text_of(it->second);
    } else {
      throw_bad_input("\"cluster\" names the field \"" + name + "\", which the row lacks",
                      document.id);
    }
  }
  return out;
}

// Reads the files of one group (or of the whole split) into documents.
class Loader {
 public:
  Loader(const DatasetSpec& spec, const fs::path& root, const SplitLayout& split, Split& out)
      : spec_(spec), root_(root), split_(split), out_(out) {
    for (const FieldRule& rule : split_.fields) {
      for (const Way* way : rule.ways()) used_.emplace_back(way->first_member());
    }
  }

  void load(const std::string& group, const std::vector<Located>& files, FileReader& reader) {
    group_ = group;
    index_ = 0;
    for (const Located& located : files) {
      for (FileReader::File& file : reader.read(located)) load_file(file, located.format);
    }
    if (!split_.labels_files.empty() && index_ != static_cast<int64_t>(labels_.size())) {
      throw_bad_input("has " + std::to_string(labels_.size()) + " labels for " +
                          std::to_string(index_) + " rows",
                      labels_where_);
    }
  }

  // After the last row: what was gathered from all of them.
  void finish() {
    if (split_.gathered.empty()) return;
    for (Document& document : out_.documents) {
      for (const Gathered& rule : split_.gathered) {
        document.fields[rule.name] = gathered_[rule.name][document.text(rule.same)];
      }
      document.content_hash = sha256_hex(canonical_json(document.fields));
    }
  }

  void load_labels(const std::string& group) {
    labels_.clear();
    if (split_.labels_files.empty()) return;
    std::vector<Located> files;
    for (const FilePattern& file : split_.labels_files) {
      files = locate(root_, fill_pattern(file.pattern, split_.file_name, group));
      if (!files.empty()) break;
    }
    if (files.empty()) {
      fail_missing(
          spec_, root_,
          (root_ / fill_pattern(split_.labels_files[0].pattern, split_.file_name, group)).string());
    }
    FileReader reader(files);
    for (FileReader::File& file : reader.read(files.front())) {
      labels_where_ = file.path.string();
      const std::string text = clean(file.bytes, labels_where_);
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        labels_.push_back(text.substr(begin, end - begin));
        begin = end + 1;
      }
      out_.files.push_back({file.path, file.sha256, labels_.size()});
    }
  }

 private:
  std::string clean(const std::string& bytes, const std::string& where) {
    const auto line_of = [&](size_t at) {
      const auto line = 1 + std::count(bytes.begin(), bytes.begin() + static_cast<long>(at), '\n');
      return where + ":" + std::to_string(line);
    };
    if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) {
      throw_bad_input("is UTF-16", where, "convert it: iconv -f UTF-16 -t UTF-8");
    }
    // A text has none; a file that was only half written to disk has many.
    if (const size_t nul = bytes.find('\0'); nul != std::string::npos) {
      throw_bad_input("holds a NUL byte", line_of(nul), "the file is damaged; fetch it again");
    }
    const size_t bad = utf8::first_invalid(bytes);
    if (bad == std::string::npos) return newlines(bytes);
    const std::string place = line_of(bad);
    if (!split_.replace_invalid) throw_bad_input("bytes that are not UTF-8", place);
    out_.warnings.push_back(place + ": bytes that are not UTF-8, replaced by U+FFFD");
    ++out_.declared;
    return newlines(utf8::sanitized(bytes));
  }

  std::string newlines(const std::string& text) const {
    if (!split_.keep_newlines) return utf8::normalized_newlines(text);
    return text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
  }

  void load_file(FileReader::File& file, const std::string& format) {
    const std::string where = file.path.string();
    const std::string text = clean(file.bytes, where);
    file.bytes = {};
    uint64_t rows = 0;
    const std::string name = file.path.stem().string();
    for_each_record(text, where, format, split_, group_, [&](Place& place) {
      ++rows;
      place.file = name;
      add(place);
    });
    out_.files.push_back({file.path, file.sha256, rows});
  }

  void add(Place& place) {
    const int64_t index = index_++;
    if (!split_.labels_files.empty()) {
      if (static_cast<size_t>(index) >= labels_.size()) {
        throw_bad_input("has only " + std::to_string(labels_.size()) + " labels", labels_where_,
                        "row " + std::to_string(index) + " has none");
      }
      place.extra[split_.labels_field] = labels_[static_cast<size_t>(index)];
    }
    Document document;
    document.split = split_.name;
    document.source_index = index;
    document.group = group_;
    document.id = spec_.task() + ":" + split_.name + ":" + (group_.empty() ? "" : group_ + ":") +
                  std::to_string(index);
    make_fields(place, document.fields);
    if (const std::string& field = spec_.layout().group_field; !field.empty() && group_.empty()) {
      const auto it = document.fields.find(field);
      if (it == document.fields.end())
        place.fail("row lacks \"" + field + "\", which names its group");
      document.group = text_of(it->second);
      const auto& groups = spec_.layout().groups;
      if (std::none_of(groups.begin(), groups.end(),
                       [&](const Group& g) { return g.name == document.group; })) {
        place.fail("unknown group \"" + document.group + "\"");
      }
    }
    gather(document.fields, place);
    for (const Condition& condition : split_.where) {
      if (condition.field == "@index") {
        if (!in_range(index, condition)) return;
        continue;
      }
      const auto it = document.fields.find(condition.field);
      if (it == document.fields.end()) place.fail("row lacks \"" + condition.field + "\"");
      if (!in_range(it->second, condition)) return;
    }
    if (!split_.adapter.empty()) find_adapter(split_.adapter)(document.fields, place);
    check_answer(document.fields, place);
    if (!split_.cluster.empty()) document.cluster = fill_template(split_.cluster, document);
    document.content_hash = sha256_hex(canonical_json(document.fields));
    document.where = place.where;
    out_.documents.push_back(std::move(document));
  }

  static const std::string& text_field(const Fields& fields, const std::string& name,
                                       const Place& place) {
    const auto it = fields.find(name);
    const auto* text = it == fields.end() ? nullptr : std::get_if<std::string>(&it->second);
    if (!text) place.fail("\"gather\" needs the text \"" + name + "\"");
    return *text;
  }

  void gather(const Fields& fields, const Place& place) {
    for (const Gathered& rule : split_.gathered) {
      auto& values = gathered_[rule.name][text_field(fields, rule.same, place)];
      const std::string& value = text_field(fields, rule.field, place);
      if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
    }
  }

  void make_fields(const Place& place, Fields& fields) {
    if (const json::Value record = place.record(); record.is_object()) {
      record.for_each_member([&](std::string_view key, json::Value value) {
        if (std::find(used_.begin(), used_.end(), key) == used_.end()) {
          fields.emplace(std::string(key), field_of(value));
        }
      });
    } else if (split_.fields.empty()) {
      place.fail("expected an object a row");
    }
    for (const auto& [name, label] : place.extra) {
      if (std::find(used_.begin(), used_.end(), name) == used_.end()) fields[name] = label;
    }
    for (const FieldRule& rule : split_.fields) {
      if (auto value = rule.apply(place)) fields[rule.name()] = std::move(*value);
    }
  }

  static void check_answer(const Fields& fields, const Place& place) {
    const auto answer = fields.find("answer");
    const auto choices = fields.find("choices");
    if (answer == fields.end() || choices == fields.end()) return;
    const auto* index = std::get_if<int64_t>(&answer->second);
    const auto* list = std::get_if<std::vector<std::string>>(&choices->second);
    if (!index || !list) return;
    if (*index < 0 || static_cast<size_t>(*index) >= list->size()) {
      place.fail("answer " + std::to_string(*index) + " is outside the row's " +
                 std::to_string(list->size()) + " choices");
    }
  }

  static std::string canonical_json(const Fields& fields) {
    json::Writer w;
    w.begin_object();
    for (const auto& [name, value] : fields) {
      w.key(name);
      std::visit(
          [&](const auto& v) {
            using T = std::decay_t<decltype(v)>;
            if constexpr (std::is_same_v<T, std::monostate>) {
              w.null();
            } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
              w.begin_array();
              for (const auto& s : v) w.value(s);
              w.end_array();
            } else {
              w.value(v);
            }
          },
          value);
    }
    return w.end_object().take();
  }

  const DatasetSpec& spec_;
  const fs::path& root_;
  const SplitLayout& split_;
  Split& out_;
  std::vector<std::string> used_;
  std::string group_;
  int64_t index_ = 0;
  std::vector<std::string> labels_;
  std::string labels_where_;
  // name -> value of `same` -> values
  std::map<std::string, std::map<std::string, std::vector<std::string>>> gathered_;
};

// What the data root itself says about its row counts ("assay-data.json").
std::optional<int64_t> own_count(const fs::path& root, const std::string& task,
                                 const std::string& split) {
  std::error_code ignored;
  const fs::path path = root / "assay-data.json";
  if (!fs::exists(path, ignored)) return std::nullopt;
  const json::Document document = json::Document::load(path);
  const json::Value rows = document.root().find("rows");
  if (!rows.exists() || !rows.has(task)) return std::nullopt;
  const json::Value n = rows.at(task).find(split);
  return n.exists() ? std::optional(n.integer()) : std::nullopt;
}

// Rows that stand in the split more than once: a file was appended to itself, say. Official files of
// the right length have some too; nothing is said of those.
void warn_of_repeats(const std::string& name, Split& out) {
  std::map<std::pair<std::string, std::string>, const Document*> seen;
  std::string first;
  size_t repeats = 0;
  for (const Document& document : out.documents) {
    const auto [it, is_new] = seen.emplace(std::pair(document.group, document.content_hash), &document);
    if (is_new) continue;
    if (++repeats == 1) first = document.id + " is " + it->second->id;
  }
  if (repeats == 0) return;
  out.warnings.push_back(name + ": " + std::to_string(repeats) + (repeats == 1 ? " row repeats" : " rows repeat") +
                         " an earlier one (" + first + (repeats == 1 ? ")" : ", ...)"));
}

void check_counts(const DatasetSpec& spec, const fs::path& root, const SplitLayout& split,
                  const std::optional<std::string>& only, Split& out) {
  const auto warn = [&](const std::string& what, size_t rows, int64_t expected) {
    if (expected >= 0 && static_cast<int64_t>(rows) != expected) {
      out.warnings.push_back(what + ": " + std::to_string(rows) + " rows, expected " +
                             std::to_string(expected));
    }
  };
  const std::string name = spec.task() + " " + split.name;
  if (!only && static_cast<int64_t>(out.documents.size()) != split.rows) warn_of_repeats(name, out);
  const auto own = own_count(root, spec.task(), split.name);
  if (own) {
    if (!only) warn(name, out.documents.size(), *own);
    return;
  }
  if (!only) warn(name, out.documents.size(), split.rows);
  std::map<std::string, size_t> rows;
  for (const Document& document : out.documents) ++rows[document.group];
  for (const Group& group : spec.layout().groups) {
    if (only && *only != group.name) continue;
    const auto exact = split.group_rows.find(group.name);
    const auto all = split.group_rows.find("*");
    const int64_t expected = exact != split.group_rows.end() ? exact->second
                             : all != split.group_rows.end() ? all->second
                                                             : -1;
    const bool has_rows = rows.contains(group.name);
    if (has_rows || expected >= 0) {
      warn(name + " " + group.name, has_rows ? rows[group.name] : 0, expected);
    } else {
      out.warnings.push_back(name + " " + group.name + ": no rows");
    }
  }
}

}  // namespace

bool Document::has(std::string_view field) const {
  const auto it = fields.find(field);
  return it != fields.end() && !std::holds_alternative<std::monostate>(it->second);
}

namespace {

template <class T>
const T& field_as(const Document& document, std::string_view field, const char* type) {
  const auto it = document.fields.find(field);
  if (it == document.fields.end()) {
    throw_bad_input("document lacks the field \"" + std::string(field) + "\"", document.id);
  }
  if (const T* value = std::get_if<T>(&it->second)) return *value;
  throw_bad_input("field \"" + std::string(field) + "\" is not " + type, document.id);
}

}  // namespace

const std::string& Document::text(std::string_view field) const {
  return field_as<std::string>(*this, field, "text");
}
const std::vector<std::string>& Document::list(std::string_view field) const {
  return field_as<std::vector<std::string>>(*this, field, "a list");
}
int64_t Document::integer(std::string_view field) const {
  return field_as<int64_t>(*this, field, "an integer");
}

DatasetSpec DatasetSpec::parse(json::Value data, std::string task) {
  DatasetSpec spec;
  spec.task_ = std::move(task);
  spec.layout_ = std::make_shared<const Layout>(parse_layout(data));
  json::Writer w;
  w.begin_object();
  data.for_each_member([&](std::string_view key, json::Value value) {
    if (key != "origin" && key != "comment") w.member(key, value);
  });
  const json::Document read = json::Document::parse(w.end_object().take(), spec.task_);
  spec.digest_ = sha256_hex(read.root().dump(true));
  return spec;
}

std::vector<std::string> DatasetSpec::groups(const fs::path& root, std::string_view split) const {
  const SplitLayout& layout = layout_of(*this, split);
  std::vector<std::string> names;
  for (const Group& group : layout_->groups) {
    if (!has_group_files(layout) || locate_split(root, layout, group.name)) {
      names.push_back(group.name);
    }
  }
  return names;
}

bool DatasetSpec::has_split(const fs::path& root, std::string_view split) const {
  const auto it = layout_->splits.find(split);
  if (it == layout_->splits.end()) return false;
  if (has_group_files(it->second)) return !groups(root, split).empty();
  return locate_split(root, it->second, "").has_value();
}

const std::vector<Group>& DatasetSpec::all_groups() const { return layout_->groups; }

Group DatasetSpec::group(std::string_view name) const {
  for (const Group& group : layout_->groups) {
    if (group.name == name) return group;
  }
  Group made{std::string(name), std::string(name), ""};
  std::replace(made.display_name.begin(), made.display_name.end(), '_', ' ');
  return made;
}

std::vector<std::string> DatasetSpec::split_names() const {
  std::vector<std::string> names;
  for (const auto& [name, layout] : layout_->splits) names.push_back(name);
  return names;
}

Split load_split(const DatasetSpec& spec, const fs::path& root, std::string_view name,
                 const std::optional<std::string>& group) {
  const SplitLayout& split = layout_of(spec, name);
  const bool group_files = has_group_files(split);
  if (group && std::none_of(spec.all_groups().begin(), spec.all_groups().end(),
                            [&](const Group& g) { return g.name == *group; })) {
    throw_usage("data set \"" + spec.task() + "\" has no group \"" + *group + "\"");
  }
  std::vector<std::string> groups = {""};
  if (group_files) groups = group ? std::vector{*group} : spec.groups(root, name);
  std::string missing;
  if (groups.empty()) {
    locate_split(root, split, spec.all_groups().empty() ? "" : spec.all_groups().front().name,
                 &missing);
    fail_missing(spec, root, missing);
  }
  std::vector<std::pair<std::string, std::vector<Located>>> files;
  std::vector<Located> all;
  for (const std::string& g : groups) {
    auto located = locate_split(root, split, g, &missing);
    if (!located) fail_missing(spec, root, missing);
    all.insert(all.end(), located->begin(), located->end());
    files.emplace_back(g, std::move(*located));
  }
  Split out;
  FileReader reader(all);
  Loader loader(spec, root, split, out);
  for (const auto& [g, located] : files) {
    loader.load_labels(g);
    loader.load(g, located, reader);
  }
  loader.finish();
  if (group && !group_files) {
    std::erase_if(out.documents, [&](const Document& d) { return d.group != *group; });
  }
  check_counts(spec, root, split, group, out);
  return out;
}

}  // namespace assay::datasets
