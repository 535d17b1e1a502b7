// A user's own text as documents: one file, or a folder of files, each document with a domain.
//
//   .jsonl .ndjson (also .gz)  one JSON object a line with the text in "text" (or "content") and the
//                              domain in "domain", "subset", "source", "meta.pile_set_name" or
//                              "category", the first of them that there is
//   any other file             one document (a file named outright), .txt .md .rst .tex .html .xml
//                              .csv .py .c .cc .cpp .h .java .js .go .rs (in a folder; .gz as well)
//
// Without a field the domain is, for a folder, its first level (the name of the sub-folder, or of the
// file without its ending); for a file its own name without ending.
#pragma once

#include <filesystem>
#include <string>

#include "datasets/dataset.h"

namespace assay::datasets {

// The corpus's name: that of the file or folder without ending.
std::string corpus_name(const std::filesystem::path& path);

// Documents in natural order of the files' names, rows in file order. Ids are
// "text:{corpus}:{file below the folder}:{row}", fields `text` and `domain`, the group is the domain.
// Files that are left out are named in one warning. Throws bad_input naming file and row where a row
// has no text, where bytes are not UTF-8, and where the corpus has no documents.
Split load_corpus(const std::filesystem::path& path);

}  // namespace assay::datasets
