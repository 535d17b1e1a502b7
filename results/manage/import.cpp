#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "results/manage.h"
#include "results/manage/import_logs.h"

namespace assay::results {
namespace {

using detail::ImportedSample;
using detail::ImportedTask;
using detail::LogLayout;

const LogLayout* const kLayouts[] = {&detail::kLmEvalLayout, &detail::kOlmesLayout,
                                     &detail::kOpenCompassLayout, &detail::kSimpleEvalsLayout,
                                     &detail::kHelmLayout};

std::string primary_of(const ImportedTask& task, const std::string& where) {
  if (!task.primary.empty()) return task.primary;
  std::vector<std::string> names;
  for (const auto& [id, sample] : task.samples)
    for (const MetricValue& metric : sample.grade.metrics) names.push_back(metric.metric);
  if (names.empty()) throw_bad_input("no document has a numeric metric", where);
  std::sort(names.begin(), names.end());
  for (const std::string_view wanted :
       {"acc", "acc_raw", "exact_match", "pass@1", "pass_at_1", "em", "f1", "score", "literal"})
    for (const std::string& name : names)
      if (name == wanted || name.starts_with(std::string(wanted) + ",")) return name;
  return names.front();
}

int64_t store_task(Store& target, RunId run, const LogLayout& layout, ImportedTask task,
                   const std::string& where) {
  if (task.samples.empty()) throw_bad_input("the log is empty", where);
  EvaluationIdentity identity;
  identity.task = std::string(layout.name) + ":" + task.name;
  identity.variant = layout.name;
  EvaluationDescription description;
  description.title = task.name;
  description.category = "Imported";
  const auto generates = [](const auto& entry) { return !entry.second.generations.empty(); };
  description.kind =
      std::any_of(task.samples.begin(), task.samples.end(), generates) ? "generate" : "choice";
  description.primary_metric = primary_of(task, where);
  if (description.primary_metric.find("bits_per_byte") != std::string::npos) {
    description.unit = "bpb";
    description.higher_is_better = false;
  }
  description.documents = static_cast<int64_t>(task.samples.size());
  description.deviations = {std::string("Imported from a log of ") + layout.harness + ": " +
                            layout.lacks + " are not in it."};
  // What was asked identifies the task as far as a log can: the set of documents.
  Sha256 hash;
  for (const auto& [id, sample] : task.samples)
    hash.update_field(sample.item.document.item_id).update_field(sample.item.document.content_hash);
  identity.data_digest = hash.finish_hex();
  const EvaluationId evaluation = target.begin_evaluation(run, identity, description);
  int64_t position = 0;
  for (auto& [id, sample] : task.samples) {
    sample.item.position = sample.grade.position = position;
    target.put_item(evaluation, sample.item);
    for (OptionRecord& option : sample.options) {
      option.position = position;
      target.put_option(evaluation, option);
    }
    for (GenerationRecord& generation : sample.generations) {
      generation.position = position;
      target.put_generation(evaluation, generation);
    }
    target.put_grade(evaluation, sample.grade);
    ++position;
  }
  target.finish_evaluation(evaluation);
  return position;
}

struct Log {
  const LogLayout* layout;
  std::filesystem::path path;
};

std::vector<Log> find_logs(const std::filesystem::path& path) {
  std::vector<Log> logs;
  const auto add = [&](const std::filesystem::path& file) {
    for (const LogLayout* layout : kLayouts)
      if (layout->is_log(file)) {
        logs.push_back({layout, file});
        return;
      }
  };
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    // (absolute, since the names of the folders above tell the layout too)
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::filesystem::absolute(path)))
      if (entry.is_regular_file()) add(entry.path());
  } else if (std::filesystem::exists(path, error)) {
    add(std::filesystem::absolute(path));
  } else {
    throw_bad_input("no such file or folder", path.string());
  }
  std::sort(logs.begin(), logs.end(), [](const Log& a, const Log& b) { return a.path < b.path; });
  std::string known;
  for (const LogLayout* layout : kLayouts)
    known += std::string(known.empty() ? "" : "; ") + layout->harness + ": " + layout->files;
  if (logs.empty()) throw_bad_input("no log of a known harness", path.string(), known);
  for (const Log& log : logs)
    if (log.layout != logs.front().layout)
      throw_bad_input("logs of several harnesses", path.string(), "import them one by one");
  return logs;
}

}  // namespace

ImportReport import_logs(Store& target, const std::filesystem::path& path, const std::string& label) {
  const std::vector<Log> logs = find_logs(path);
  const LogLayout& layout = *logs.front().layout;
  // Everything is read before anything is written: a bad log leaves no half run.
  std::vector<ImportedTask> tasks;
  ImportReport report;
  report.harness = layout.harness;
  for (const Log& log : logs) {
    ImportedTask task = layout.read(log.path);
    if (std::find(report.tasks.begin(), report.tasks.end(), task.name) != report.tasks.end())
      throw_bad_input("a second log of " + task.name, log.path.string(),
                      "import runs one by one, each under a name of its own");
    report.tasks.push_back(task.name);
    tasks.push_back(std::move(task));
  }
  ModelRecord model;
  model.name = label;
  model.architecture = "imported";
  RunIdentity identity;
  identity.label = label;
  identity.numerics = "unknown";
  identity.kernel_profile = layout.harness;
  identity.engine_version = "unknown";
  const RunId run = target.begin_run(target.put_model(model), identity,
                                     {"assay import " + path.string(), "{}"});
  for (size_t i = 0; i < tasks.size(); ++i) {
    report.documents +=
        store_task(target, run, layout, std::move(tasks[i]), logs[i].path.string());
    ++report.files;
  }
  target.finish_run(run);
  return report;
}

}  // namespace assay::results
