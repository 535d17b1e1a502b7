#include "tasks/catalog.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "tasks/embedded.h"
#include "tasks/key_reader.h"
#include "tasks/merge_patch.h"
#include "tasks/task_file.h"

namespace assay::tasks {

namespace fs = std::filesystem;

namespace {

// What a word of a list says that it names: "task:math", "suite:math", or just "math".
enum class Named { either, task, suite };

}  // namespace

struct Catalog::State {
  struct Entry {
    std::string source;     // JSON of the whole file with "extends" resolved
    std::string base_name;  // of the variant without overrides
    int64_t order = 0;
    TaskInfo info;

    const VariantSet* set(std::string_view variant) const {
      const auto same = [&](const VariantSet& set) { return set.name == variant; };
      const auto found = std::find_if(info.sets.begin(), info.sets.end(), same);
      return found == info.sets.end() ? nullptr : &*found;
    }
  };
  struct Raw {
    std::string text, origin;
  };
  std::map<std::string, Raw, std::less<>> raw;  // by task name
  std::map<std::string, Entry, std::less<>> entries;
  std::vector<SuiteInfo> suites;
  std::mutex mutex;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const TaskFile>> files;

  std::string add_file(std::string_view text, const std::string& origin);
  void add_suite(json::Value root, const std::string& origin);
  std::string resolved(const std::string& name, int depth);
  void rebuild();

  const SuiteInfo* suite(std::string_view name) const {
    const auto same = [&](const SuiteInfo& suite) { return suite.name == name; };
    const auto found = std::find_if(suites.begin(), suites.end(), same);
    return found == suites.end() ? nullptr : &*found;
  }
  // The suite that a word names, nullptr for a task: a name that both have is the task's.
  const SuiteInfo* named_suite(std::string_view name, Named named) const;
  std::string unknown_task_remedy(std::string_view name) const;
};

namespace {

json::Document variant_document(const std::string& source, const std::string& base_name,
                                const std::string& variant, const std::string& where) {
  json::Document document = json::Document::parse(source, where);
  if (variant == base_name) return document;
  json::Value patch = document.root().at("variants").at(variant);
  return json::Document::parse(merge_patch(document.root(), patch),
                               where + " (variant " + variant + ")");
}

VariantInfo variant_info(json::Value root, const std::string& name) {
  VariantInfo info;
  info.name = name;
  info.summary = root.string_or("summary", "");
  if (json::Value card = root.find("card"); card.exists() && card.is_object()) {
    auto read = [&](const char* key) {
      json::Value list = card.find(key);
      return list.exists() ? list.strings() : std::vector<std::string>();
    };
    info.card = {read("published"), read("inferred"), read("default")};
  }
  return info;
}

// Takes the prefix off.
Named take_prefix(std::string_view& word) {
  for (const auto& [prefix, named] : {std::pair(std::string_view("task:"), Named::task),
                                      std::pair(std::string_view("suite:"), Named::suite)}) {
    if (!word.starts_with(prefix)) continue;
    word.remove_prefix(prefix.size());
    return named;
  }
  return Named::either;
}

// TASK[:GROUP][@VARIANT] or SUITE[@VARIANT].
TaskChoice parse_choice(std::string_view word) {
  TaskChoice choice;
  const size_t at = word.find('@');
  if (at != std::string_view::npos) choice.variant = std::string(word.substr(at + 1));
  word = word.substr(0, at);
  const size_t colon = word.find(':');
  if (colon != std::string_view::npos) choice.group = std::string(word.substr(colon + 1));
  choice.task = std::string(word.substr(0, colon));
  return choice;
}

void check_name(json::Value name, const char* kind) {
  if (name.string().empty() || name.string().find_first_of(",:@ /") != std::string::npos) {
    name.fail(std::string("a ") + kind + "'s name must be a word without , : @ / and spaces");
  }
}

// {"olmes": ["a", "b"]} or {"olmes": {"variants": ["a", "b"], "headline": "larger"}}.
VariantSet read_set(std::string_view name, json::Value value) {
  VariantSet set;
  set.name = std::string(name);
  if (value.is_array()) {
    set.variants = value.strings();
  } else {
    KeyReader keys(value);
    set.variants = keys.required("variants").strings();
    if (json::Value headline = keys.optional("headline"); headline.exists()) {
      if (headline.string() != "larger") headline.fail("expected larger");
      set.larger = true;
    }
    if (json::Value always = keys.optional("always"); always.exists()) set.always = always.boolean();
    keys.finish();
  }
  if (set.variants.empty()) value.fail("no variants are named");
  return set;
}

}  // namespace

const SuiteInfo* Catalog::State::named_suite(std::string_view name, Named named) const {
  if (named == Named::task || (named == Named::either && entries.contains(name))) return nullptr;
  const SuiteInfo* found = suite(name);
  if (!found && named == Named::suite) {
    std::string all;
    for (const SuiteInfo& one : suites) all += (all.empty() ? "" : ", ") + one.name;
    throw_usage("there is no suite '" + std::string(name) + "'", "the suites are " + all);
  }
  return found;
}

std::string Catalog::State::unknown_task_remedy(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const auto& [task, file] : raw) names.push_back(task);
  for (const SuiteInfo& suite : suites) names.push_back(suite.name);
  const std::string near = nearest_word(name, names.data(), names.size());
  return near.empty() ? "`assay list tasks` and `assay list suites` show all"
                      : "did you mean " + near + "?";
}

std::string Catalog::State::add_file(std::string_view text, const std::string& origin) {
  json::Document document = json::Document::parse(text, origin);
  json::Value root = document.root();
  if (!root.is_object()) root.fail("expected an object with \"task\" or \"suite\"");
  if (root.has("suite")) {
    add_suite(root, origin);
    return std::string(root.at("suite").string());
  }
  check_name(root.at("task"), "task");
  std::string name(root.at("task").string());
  raw[name] = {std::string(text), origin};
  return name;
}

void Catalog::State::add_suite(json::Value root, const std::string& origin) {
  KeyReader keys(root);
  SuiteInfo suite;
  check_name(keys.required("suite"), "suite");
  suite.name = std::string(root.at("suite").string());
  suite.title = keys.text("title");
  suite.origin = origin;
  suite.limit = keys.integer("limit", 0);
  suite.members = keys.required("tasks").strings();
  if (suite.members.empty()) root.at("tasks").fail("a suite needs at least one task");
  if (suite.limit < 0) root.at("limit").fail("\"limit\" must not be negative");
  keys.finish();
  auto same = std::find_if(suites.begin(), suites.end(),
                           [&](const SuiteInfo& other) { return other.name == suite.name; });
  if (same != suites.end()) {
    *same = std::move(suite);
  } else {
    suites.push_back(std::move(suite));
  }
}

// "extends": the other task's file with this one as a merge patch on it.
std::string Catalog::State::resolved(const std::string& name, int depth) {
  const Raw& file = raw.at(name);
  json::Document document = json::Document::parse(file.text, file.origin);
  json::Value extends = document.root().find("extends");
  if (!extends.exists()) return file.text;
  std::string base(extends.string());
  if (depth > 8) extends.fail("tasks extend one another in a circle");
  if (!raw.contains(base)) extends.fail("no task " + base, unknown_task_remedy(base));
  json::Document target = json::Document::parse(resolved(base, depth + 1), raw.at(base).origin);
  json::Document merged =
      json::Document::parse(merge_patch(target.root(), document.root()), file.origin);
  json::Document remove = json::Document::parse("{\"extends\": null}", file.origin);
  return merge_patch(merged.root(), remove.root());
}

void Catalog::State::rebuild() {
  entries.clear();
  files.clear();
  for (const auto& [name, file] : raw) {
    Entry entry;
    entry.source = resolved(name, 0);
    json::Document document = json::Document::parse(entry.source, file.origin);
    json::Value root = document.root();
    entry.base_name = root.string_or("base", "ds");
    entry.order = root.integer_or("order", 1000);
    entry.info.name = name;
    entry.info.title = root.string_or("title", name);
    entry.info.row = root.string_or("row", "");
    entry.info.section = root.string_or("section", "");
    entry.info.origin = file.origin;
    entry.info.variants.push_back(variant_info(root, entry.base_name));
    if (json::Value variants = root.find("variants"); variants.exists()) {
      variants.for_each_member([&](std::string_view variant, json::Value) {
        json::Document merged =
            variant_document(entry.source, entry.base_name, std::string(variant), file.origin);
        entry.info.variants.push_back(variant_info(merged.root(), std::string(variant)));
      });
    }
    if (json::Value together = root.find("together"); together.exists()) {
      together.for_each_member([&](std::string_view name, json::Value members) {
        const auto known = [&](std::string_view variant) {
          return std::any_of(entry.info.variants.begin(), entry.info.variants.end(),
                             [&](const VariantInfo& v) { return v.name == variant; });
        };
        if (known(name)) members.fail("'" + std::string(name) + "' is a variant already");
        VariantSet set = read_set(name, members);
        for (const std::string& member : set.variants) {
          if (!known(member)) members.fail("no variant '" + member + "'");
        }
        entry.info.sets.push_back(std::move(set));
      });
    }
    entries.emplace(name, std::move(entry));
  }
}

Catalog::Catalog() : state_(std::make_unique<State>()) {
  for (size_t i = 0; embedded_name(i).data(); ++i) {
    if (!embedded_name(i).ends_with(".json")) continue;
    state_->add_file(embedded_file(embedded_name(i)), "built-in " + std::string(embedded_name(i)));
  }
  state_->rebuild();
}

Catalog::~Catalog() = default;
Catalog::Catalog(Catalog&&) noexcept = default;
Catalog& Catalog::operator=(Catalog&&) noexcept = default;

void Catalog::add_directory(const fs::path& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    throw_usage("--tasks-dir " + directory.string() + " is not a directory");
  }
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file() && entry.path().extension() == ".json") {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::map<std::string, std::string> seen;
  for (const fs::path& path : paths) {
    json::Document document = json::Document::load(path);
    std::string name = state_->add_file(document.root().dump(), path.string());
    auto [it, is_new] = seen.emplace(name, path.string());
    if (!is_new) throw_bad_input("'" + name + "' is defined twice", path.string(), it->second);
  }
  state_->rebuild();
  // What a user wrote is checked at once, not when it is run.
  for (const auto& [name, path] : seen) check_added(name);
}

std::string Catalog::add_file(const fs::path& path) {
  const json::Document document = json::Document::load(path);
  std::string name = state_->add_file(document.root().dump(), path.string());
  state_->rebuild();
  check_added(name);
  return name;
}

std::vector<TaskInfo> Catalog::tasks() const {
  std::vector<const State::Entry*> sorted;
  for (const auto& [name, entry] : state_->entries) sorted.push_back(&entry);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](auto* a, auto* b) { return a->order < b->order; });
  std::vector<TaskInfo> out;
  for (const State::Entry* entry : sorted) out.push_back(entry->info);
  return out;
}

std::vector<SuiteInfo> Catalog::suites() const { return state_->suites; }

const TaskInfo& Catalog::info(std::string_view task) const {
  auto it = state_->entries.find(task);
  if (it == state_->entries.end()) {
    throw_usage("no task '" + std::string(task) + "'", state_->unknown_task_remedy(task));
  }
  return it->second.info;
}

std::vector<std::string_view> words_of(std::string_view list) {
  std::vector<std::string_view> words;
  for (size_t start = 0; start <= list.size();) {
    const size_t end = std::min(list.find(',', start), list.size());
    words.push_back(list.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

std::vector<TaskChoice> Catalog::expand(std::string_view list, std::string_view default_variant,
                                        bool for_run) const {
  std::vector<TaskChoice> choices;
  const auto add = [&](const auto& self, TaskChoice choice) -> void {
    const TaskInfo& task = info(choice.task);
    if (choice.variant.empty()) choice.variant = std::string(default_variant);
    if (choice.variant.empty() && for_run) {
      const auto set = std::ranges::find_if(task.sets, &VariantSet::always);
      if (set != task.sets.end()) choice.variant = set->name;
    }
    if (choice.variant.empty()) choice.variant = task.variants.front().name;
    std::vector<std::string_view> names;
    for (const VariantInfo& variant : task.variants) names.push_back(variant.name);
    if (const VariantSet* set = state_->entries.find(choice.task)->second.set(choice.variant)) {
      for (const std::string& member : set->variants) {
        choice.variant = member;
        self(self, choice);
      }
      return;
    }
    if (std::find(names.begin(), names.end(), choice.variant) == names.end()) {
      for (const VariantSet& set : task.sets) names.push_back(set.name);
      std::string all;
      for (std::string_view name : names) all += (all.empty() ? "" : ", ") + std::string(name);
      const std::string near = nearest_word(choice.variant, names.data(), names.size());
      throw_usage("task " + choice.task + " has no variant '" + choice.variant + "'",
                  (near.empty() ? "" : "did you mean " + near + "? ") + "it has " + all);
    }
    if (std::find(choices.begin(), choices.end(), choice) == choices.end()) {
      choices.push_back(std::move(choice));
    }
  };
  // A suite's members may be suites; `within` names those around, the outermost first.
  const auto add_word = [&](const auto& self, std::string_view word, const std::string& variant,
                            const std::vector<const SuiteInfo*>& within) -> void {
    const Named named = take_prefix(word);
    TaskChoice choice = parse_choice(word);
    if (!variant.empty()) choice.variant = variant;
    const SuiteInfo* suite = state_->named_suite(choice.task, named);
    if (!suite) {
      if (!within.empty()) choice.suite = within.front()->name;
      add(add, std::move(choice));
      return;
    }
    if (!choice.group.empty()) throw_usage("suite " + suite->name + " has no groups");
    std::vector<const SuiteInfo*> path = within;
    path.push_back(suite);
    if (std::find(within.begin(), within.end(), suite) != within.end()) {
      std::string names;
      for (const SuiteInfo* one : path) names += (names.empty() ? "" : " > ") + one->name;
      throw_bad_input("suites contain one another in a circle: " + names, suite->origin);
    }
    for (const std::string& text : suite->members) {
      try {
        self(self, text, choice.variant, path);
      } catch (const Error& error) {
        // What the command line adds is not the file's mistake; other errors say where already.
        if (error.kind() != ErrorKind::usage || !choice.variant.empty() || !default_variant.empty()) throw;
        throw_bad_input("suite " + suite->name + ": " + error.message(), suite->origin, error.remedy());
      }
    }
  };
  for (const std::string_view word : words_of(list)) {
    if (!word.empty()) add_word(add_word, word, {}, {});
  }
  if (choices.empty()) throw_usage("no tasks are named", "--tasks mmlu,gsm8k or a suite's name");
  return choices;
}

std::vector<std::string> Catalog::names_shared_with_suites(std::string_view list) const {
  std::vector<std::string> shared;
  for (const std::string_view word : words_of(list)) {
    if (state_->suite(word) && state_->entries.contains(word)) shared.emplace_back(word);
  }
  return shared;
}

int64_t Catalog::suite_limit(std::string_view list) const {
  const Named named = take_prefix(list);
  const SuiteInfo* suite = list.find(',') == std::string_view::npos ? state_->named_suite(list, named) : nullptr;
  return suite ? suite->limit : 0;
}

void Catalog::check_added(const std::string& name) const {
  if (const SuiteInfo* suite = state_->suite(name)) {
    if (state_->entries.contains(name)) {
      throw_bad_input("'" + name + "' is a task's name already; a suite needs one of its own", suite->origin);
    }
    expand("suite:" + name);
  } else {
    for (const VariantInfo& variant : info(name).variants) file(name, variant.name);
  }
}

std::shared_ptr<const TaskFile> Catalog::file(std::string_view task,
                                              std::string_view variant) const {
  const TaskInfo& known = info(task);
  std::string name(variant.empty() ? known.variants.front().name : std::string(variant));
  const auto checked = expand(std::string(task) + "@" + name);
  if (checked.size() != 1 || checked.front().variant != name) {
    throw_usage(std::string(task) + "@" + name + " stands for several variants",
                "name one of them");
  }
  std::lock_guard lock(state_->mutex);
  auto& file = state_->files[{std::string(task), name}];
  if (!file) {
    const State::Entry& entry = state_->entries.find(task)->second;
    std::string where = entry.info.origin;
    file = parse_task_file(variant_document(entry.source, entry.base_name, name, where), name,
                           name == entry.base_name ? where : where + " (variant " + name + ")");
  }
  return file;
}

}  // namespace assay::tasks
