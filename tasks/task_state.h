// The inside of a Task, shared by prompting and grading.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tasks/exemplars.h"
#include "tasks/task.h"
#include "tasks/task_file.h"

namespace assay::tasks {

// An option as it is appended to a context, with its lengths.
Option make_option(const std::string& text, bool lead_space);

struct Task::State {
  std::shared_ptr<const TaskFile> file;
  TaskInfo info;
  Selection selection;
  datasets::Split scored;            // the whole split (of the selected group)
  std::vector<size_t> chosen;        // indices into scored.documents that are evaluated, ascending
  std::vector<int64_t> doc_numbers;  // of scored.documents, within their group; -1 = excluded
  size_t total = 0;                  // evaluated without `limit`
  std::unique_ptr<ExemplarPool> exemplars;
  std::map<std::string, std::map<std::string, FieldValue>> joined;  // field -> group -> value
  int64_t max_len = 0;
  std::vector<std::string> metrics;
  std::vector<std::string> warnings;
  std::vector<datasets::SourceFile> sources;
  std::string exemplar_hash, data_hash;

  // Token counts of prompt beginnings, which most documents of a group share.
  mutable std::mutex mutex;
  mutable std::map<std::string, int64_t, std::less<>> prefix_tokens;

  const datasets::Document& document(size_t i) const { return scored.documents[chosen[i]]; }

  // All fields of a document: the data's, the group's, and those the task file derives.
  Fields fields(const datasets::Document& document) const;
  void set_group_fields(Fields& fields, const std::string& group) const;

  std::vector<std::string> option_texts(const Fields& fields) const;
  // Gold option indices; empty where the split has no answers.
  std::vector<int> gold_options(const Fields& fields, size_t options) const;
  std::vector<std::string> gold_texts(const Fields& fields) const;
  // The option's continuation text without lead space.
  std::string continuation(const Fields& fields, const std::string& option, size_t index) const;
  // What an exemplar shows as its answer, without lead space.
  std::string answer(const Fields& fields) const;
  Option gold_answer(const Fields& fields) const;
  std::string shot(const Exemplar& exemplar) const;
  void add_haystack(Fields& fields, const TokenCounter& count) const;
  std::vector<Exemplar> exemplars_for(size_t i, const Fields& fields) const;
};

}  // namespace assay::tasks
