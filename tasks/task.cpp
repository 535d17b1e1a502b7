#include "tasks/task.h"

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "tasks/task_state.h"

namespace assay::tasks {
namespace {

using datasets::Document;

// The `limit` documents that are evaluated: first in file order, or first in hash order over ids.
std::vector<size_t> limited(std::vector<size_t> candidates, const std::vector<Document>& documents,
                            const Selection& selection) {
  size_t limit = static_cast<size_t>(selection.limit);
  if (selection.limit <= 0 || candidates.size() <= limit) return candidates;
  if (!selection.limit_first) {
    std::vector<std::pair<std::string, size_t>> keyed;
    std::string seed = std::to_string(selection.seed);
    for (size_t i : candidates) {
      keyed.emplace_back(sha256_hex(documents[i].id + "/" + seed), i);
    }
    std::nth_element(keyed.begin(), keyed.begin() + static_cast<ptrdiff_t>(limit), keyed.end());
    for (size_t i = 0; i < limit; ++i) candidates[i] = keyed[i].second;
  }
  candidates.resize(limit);
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

// The documents of a published sample, in file order.
void keep_sample(const SampleRule& rule, std::vector<Document>& documents) {
  const auto count = static_cast<size_t>(rule.documents);
  if (documents.size() <= count) return;
  std::vector<bool> chosen(documents.size());
  for (size_t i : PythonSampler(rule.seed).sample(documents.size(), count)) chosen[i] = true;
  size_t i = 0;
  std::erase_if(documents, [&](const Document&) { return !chosen[i++]; });
}

void check_group(const Selection& selection, const datasets::DatasetSpec& spec,
                 const std::string& split) {
  if (selection.group.empty()) return;
  std::vector<std::string> groups = spec.groups(selection.data_root, split);
  if (groups.empty()) return;  // groups that only a field of the rows names are checked by loading
  if (std::find(groups.begin(), groups.end(), selection.group) != groups.end()) return;
  std::vector<std::string_view> names(groups.begin(), groups.end());
  const std::string near = nearest_word(selection.group, names.data(), names.size());
  // (the bundled sample has fewer groups than the task)
  std::string there = "the data in " + selection.data_root.string() + " have ";
  constexpr size_t kShown = 6;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    there += (i > 0 ? ", " : "") + groups[i];
  }
  if (names.size() > kShown) there += " and " + std::to_string(names.size() - kShown) + " more";
  throw_usage("task " + selection.task + " has no group '" + selection.group + "'",
              near.empty() ? there : "did you mean " + near + "?");
}

std::vector<std::string> metric_names(const TaskFile& file) {
  std::vector<std::string> names;
  if (file.kind == RequestKind::choice || file.kind == RequestKind::partial) {
    names = {"acc.sum", "acc.token", "acc.char", "acc.byte"};
    if (file.choice.uncond) names.emplace_back("acc.uncond");
    if (file.choice.whole) names.emplace_back("acc.whole");
  } else if (file.kind == RequestKind::rolling) {
    names = {"bits_per_byte", "loss"};
  } else {
    if (file.execution) names.emplace_back("pass@1");
    for (const TextMetric& metric : file.metrics) names.push_back(metric.name);
  }
  std::stable_partition(names.begin(), names.end(),
                        [&](const std::string& name) { return name == file.primary_metric; });
  return names;
}

std::string hash_of_contents(const std::vector<Document>& documents,
                             const std::vector<size_t>& chosen) {
  Sha256 digest;
  for (size_t i : chosen) {
    digest.update_field(documents[i].id).update_field(documents[i].content_hash);
  }
  return digest.finish_hex();
}

}  // namespace

Task::Task() : state_(std::make_unique<State>()) {}
Task::~Task() = default;
Task::Task(Task&&) noexcept = default;
Task& Task::operator=(Task&&) noexcept = default;

Task Task::open(const Catalog& catalog, const Selection& selection) {
  Task task;
  State& state = *task.state_;
  state.file = catalog.file(selection.task, selection.variant);
  state.info = catalog.info(selection.task);
  state.selection = selection;
  const TaskFile& file = *state.file;
  state.metrics = metric_names(file);
  state.max_len = selection.max_len.value_or(file.max_len);
  std::optional<std::string> group;
  if (!selection.group.empty()) group = selection.group;
  if (selection.corpus) {
    state.scored = *selection.corpus;
    state.info.title = "Text " + selection.corpus_name + (group ? ": " + *group : "");
    if (group) std::erase_if(state.scored.documents, [&](const Document& d) { return d.group != *group; });
  } else if (file.haystack) {
    constexpr int64_t kUnknownContext = 4096;  // no checkpoint has said how long its context is
    state.scored = haystack_documents(*file.haystack,
                                      state.max_len > 0 ? state.max_len : kUnknownContext, file.name);
  } else {
    check_group(selection, *file.data, file.split);
    state.scored = datasets::load_split(*file.data, selection.data_root, file.split, group);
  }
  state.warnings = state.scored.warnings;
  state.sources = state.scored.files;
  for (const JoinedField& field : file.joined) {
    datasets::Split split =
        datasets::load_split(*file.data, selection.data_root, field.split, group);
    for (const Document& document : split.documents) {
      auto value = document.fields.find(field.field);
      if (value != document.fields.end()) state.joined[field.name][document.group] = value->second;
    }
    state.sources.insert(state.sources.end(), split.files.begin(), split.files.end());
  }
  if (!file.only.empty() || !file.except_rows.empty()) {
    std::erase_if(state.scored.documents, [&](const Document& document) {
      if (std::count(file.except_rows.begin(), file.except_rows.end(), document.source_index) > 0) {
        return true;
      }
      Fields fields = state.fields(document);
      return std::any_of(file.only.begin(), file.only.end(), [&](const auto& condition) {
        const auto& [field, values] = condition;
        return std::find(values.begin(), values.end(), fields.text(field)) == values.end();
      });
    });
  }
  if (file.sample) keep_sample(*file.sample, state.scored.documents);
  const std::vector<Document>& documents = state.scored.documents;
  if (documents.empty()) {
    const bool one = state.sources.size() == 1;
    throw_bad_input("split " + file.split + " of " + selection.task + " has no documents",
                    one ? state.sources.front().path.string() : selection.data_root.string());
  }

  int k = selection.shots.value_or(file.shots.k);
  if (k < 0) throw_usage("--shots must not be negative");
  state.exemplars =
      std::make_unique<ExemplarPool>(file.shots, k, file.name, selection.seed, *file.data,
                                     selection.data_root, group, file.split, documents);
  for (const auto& source : state.exemplars->sources()) state.sources.push_back(source);
  for (const auto& warning : state.exemplars->warnings()) state.warnings.push_back(warning);

  std::map<std::string, int64_t> next;
  std::vector<size_t> candidates;
  for (size_t i = 0; i < documents.size(); ++i) {
    state.doc_numbers.push_back(next[documents[i].group]++);
    if (!state.exemplars->excluded(i)) candidates.push_back(i);
  }
  state.total = candidates.size();
  state.chosen = limited(std::move(candidates), documents, selection);
  state.exemplar_hash = state.exemplars->digest();
  state.data_hash = hash_of_contents(documents, state.chosen);
  // Templates meet the data here: a field they name and the data lack is an error before any work.
  if (task.size() > 0) task.prompt(0);
  return task;
}

const TaskInfo& Task::info() const { return state_->info; }
const std::string& Task::name() const { return state_->file->name; }
const std::string& Task::variant() const { return state_->file->variant; }
const std::string& Task::split() const { return state_->file->split; }
const std::string& Task::group() const { return state_->selection.group; }
const std::string& Task::corpus() const { return state_->selection.corpus_name; }
int Task::shots() const { return state_->exemplars->k(); }
int64_t Task::max_len() const { return state_->max_len; }
int64_t Task::stride() const { return state_->file->stride; }
RequestKind Task::kind() const { return state_->file->kind; }
bool Task::executes() const { return state_->file->execution.has_value(); }

std::string_view Task::primary_norm() const {
  RequestKind k = kind();
  return k == RequestKind::choice || k == RequestKind::partial ? state_->file->choice.primary
                                                               : std::string_view();
}

size_t Task::size() const { return state_->chosen.size(); }
size_t Task::total() const { return state_->total; }
const Document& Task::document(size_t i) const { return state_->document(i); }
int64_t Task::doc_number(size_t i) const { return state_->doc_numbers[state_->chosen[i]]; }

ItemKey Task::item_key(size_t i) const {
  const Document& document = state_->document(i);
  ItemKey key{document.group, document.cluster, {}};
  if (!state_->file->aggregation.breakdowns.empty()) {
    Fields fields = state_->fields(document);
    for (const std::string& label : state_->file->aggregation.breakdowns) {
      key.labels[label] = fields.text(label);
    }
  }
  return key;
}

std::vector<std::string> Task::groups() const {
  std::vector<std::string> groups;
  for (size_t i : state_->chosen) {
    const std::string& group = state_->scored.documents[i].group;
    if (groups.empty() || groups.back() != group) groups.push_back(group);
  }
  if (groups == std::vector<std::string>{""}) groups.clear();
  return groups;
}

const AggregationRule& Task::aggregation() const { return state_->file->aggregation; }
const std::vector<std::string>& Task::metrics() const { return state_->metrics; }
const std::vector<std::string>& Task::warnings() const { return state_->warnings; }
const std::vector<datasets::SourceFile>& Task::sources() const { return state_->sources; }

std::string Task::identity(const RunPolicy& policy) const {
  const State& s = *state_;
  auto short_hash = [](const std::string& hash) { return hash.substr(0, 16); };
  std::string norm = primary_norm().empty() ? s.file->primary_metric : std::string(primary_norm());
  return name() + "/" + variant() + "/" + split() + "/" + std::to_string(shots()) + "/" +
         short_hash(s.exemplar_hash) + "/" + short_hash(s.file->template_digest) + "/" +
         short_hash(s.data_hash) + "/" + norm + "/" + std::to_string(max_len()) + "/" +
         policy.boundary + "/" + policy.bos;
}

std::string Task::digest(const RunPolicy& policy) const {
  const State& s = *state_;
  return Sha256()
      .update_field(identity(policy))
      .update_field(s.exemplar_hash)
      .update_field(s.file->template_digest)
      .update_field(s.data_hash)
      .finish_hex();
}

int Task::scorer_version() { return 4; }

std::string prompt_json(const Task& task, size_t i, const Prompt& prompt) {
  json::Writer out;
  out.begin_object();
  const Document& document = task.document(i);
  std::string name = task.name();
  if (!document.group.empty()) name += ":" + document.group;
  out.member("task", name).member("variant", task.variant()).member("doc", task.doc_number(i));
  out.member("id", document.id).member("shots", prompt.shots_used);
  out.member("context", prompt.context);
  if (!prompt.contexts.empty()) {
    out.key("contexts").begin_array();
    for (const std::string& context : prompt.contexts) out.value(context);
    out.end_array();
  }
  out.key("continuations").begin_array();
  for (const Option& option : prompt.options) out.value(option.continuation);
  out.end_array();
  out.key("gold");
  if (prompt.kind == RequestKind::choice || prompt.kind == RequestKind::partial) {
    if (prompt.gold_options.size() == 1) {
      out.value(prompt.gold_options[0]);
    } else {
      out.begin_array();
      for (int gold : prompt.gold_options) out.value(gold);
      out.end_array();
    }
  } else if (prompt.gold_texts.size() == 1) {
    out.value(prompt.gold_texts[0]);
  } else {
    out.begin_array();
    for (const std::string& gold : prompt.gold_texts) out.value(gold);
    out.end_array();
  }
  out.key("until").begin_array();
  for (const std::string& stop : prompt.generation.stop) out.value(stop);
  out.end_array();
  out.key("exemplars").begin_array();
  for (const std::string& exemplar : prompt.exemplars) out.value(exemplar);
  out.end_array();
  if (prompt.kind == RequestKind::generate) {
    out.member("max_new_tokens", prompt.generation.max_new_tokens);
    out.member("reference", prompt.gold_answer.continuation);
  }
  if (prompt.truncated) out.member("truncated", true);
  out.end_object();
  return out.take();
}

}  // namespace assay::tasks
