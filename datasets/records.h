// A file's text, cut into records: one function for every format.
#pragma once

#include <string>
#include <string_view>

#include "datasets/adapters.h"
#include "datasets/layout.h"

namespace assay::datasets {

// Calls `sink` for every record in file order. `text` is UTF-8 with LF newlines; `where` its path.
// `format` is the file's own, which may differ from the split's.
void for_each_record(std::string_view text, const std::string& where, const std::string& format,
                     const SplitLayout& split, const std::string& group, const RecordSink& sink);

}  // namespace assay::datasets
