// Directories that a hostile program wrote into: how much is there, and emptying them.
#pragma once

#include <cstdint>
#include <filesystem>

namespace assay::sandbox {

struct Usage {
  int64_t bytes = 0;
  int64_t entries = 0;
};

// Counts allocated bytes and entries; stops beyond `max_entries` entries. Trees deeper than 32 and
// directories that cannot be looked into count as having too many. Safe while the program lives.
Usage directory_usage(const std::filesystem::path& directory, int64_t max_entries);

// Removes everything below `directory`, however deep, whatever its modes, following no link. False
// if something is left.
bool purge_directory(const std::filesystem::path& directory);

// Removes the empty directories in `directory`; for control groups, whose files cannot be removed.
void remove_directories_in(const std::filesystem::path& directory);

}  // namespace assay::sandbox
