// Keeping stores for years: export, merge, import, removal.
#pragma once

#include <filesystem>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "results/queries.h"

namespace assay::results {

// -- export ----------------------------------------------------------------------------------------

enum class ExportKind { scores, documents, options, generations, experts };
enum class ExportFormat { csv, jsonl };
ExportKind parse_export_kind(std::string_view name);      // throws usage, listing the names
ExportFormat parse_export_format(std::string_view name);

// Writes a documented view (docs/store.md) of some runs as CSV with a header, or JSON lines. Malformed
// UTF-8 becomes U+FFFD; NULL is an empty cell or null. Streams: memory does not grow with the rows.
void export_rows(const Store& store, std::span<const RunSummary> runs, ExportKind kind,
                 ExportFormat format, std::ostream& out);

// -- merge -----------------------------------------------------------------------------------------

struct MergeReport {
  int64_t runs = 0, evaluations = 0;     // added
  int64_t present = 0;                   // evaluations that were there already, with equal content
  int64_t completed = 0;                 // unfinished ones replaced by finished ones
};
// Copies what `source` has and `target` (opened for writing) lacks. The same evaluation with different
// content on both sides is a conflict: bad_input naming all of them, and nothing is changed.
MergeReport merge(Store& target, const std::filesystem::path& source);

// -- import ----------------------------------------------------------------------------------------

struct ImportReport {
  int64_t files = 0, documents = 0;
  std::vector<std::string> tasks;
  std::string harness;  // "lm-evaluation-harness"
};
// Reads another harness's logs of one run - a file, or a folder of them - as a run called `label`:
//   lm-evaluation-harness  samples_TASK_DATE.jsonl
//   OLMES                  task-NNN-TASK-predictions.jsonl
//   OpenCompass            predictions/MODEL/DATASET.json
// Task names get the harness as a prefix ("lmeval:", "olmes:", "opencompass:"), item ids are
// PREFIX:TASK:NUMBER, content hashes what the log says of the document, so that two imported runs of
// one task pair document by document. A bad line, or two logs of one task, is bad_input, and nothing is
// written.
ImportReport import_logs(Store& target, const std::filesystem::path& path, const std::string& label);

// -- removal ---------------------------------------------------------------------------------------

// Deletes a run with everything that only it has, except texts and documents, which vacuum() removes.
void remove_run(Store& store, RunId run);

struct VacuumReport {
  uint64_t bytes_before = 0, bytes_after = 0;
  int64_t texts = 0, documents = 0, models = 0;  // removed, because nothing refers to them
};
// Removes what nothing refers to and gives the space back to the file system. Needs free space of the
// store's size meanwhile.
VacuumReport vacuum(Store& store);

}  // namespace assay::results
