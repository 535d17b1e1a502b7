// Downloads of publishers' files: resumable, digest-checked, never half a file under its final
// name.
//
// A file is written to "<name>.part" beside its place; an interrupted download goes on from there
// (HTTP range requests; a server that does not know ranges starts over). When it is complete and
// its length and SHA-256 agree with what the task file states, it takes its final name. The network
// is used only here. Blocking; one thread a call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "datasets/registry.h"

namespace assay::datasets {

struct FetchProgress {
  std::string file;             // relative to the data root
  uint64_t done = 0;            // bytes, those of an earlier try included
  uint64_t total = 0;           // 0 while the server has not said
  size_t index = 0, files = 0;  // of this call
};

struct FetchOptions {
  // Replaces "scheme://host" of every address: "http://mirror/path" + "/" + the address without its
  // scheme ("https://a.org/b" becomes "http://mirror/path/a.org/b"). "" = the publishers' own.
  std::string mirror;
  bool dry_run = false;  // nothing is opened or written
  long connect_timeout_seconds = 30;
  long stall_seconds = 60;  // gives up when nothing has arrived for so long
  // Called at least once a file, and about ten times a second. Returning false stops the download;
  // what has arrived stays for the next call.
  std::function<bool(const FetchProgress&)> progress;
};

struct Fetched {
  enum class State { present, fetched, would_fetch };
  std::string to;   // relative to the data root
  std::string url;  // as asked for, mirror included
  State state;
  uint64_t bytes = 0;  // of the file; the stated number for would_fetch (0 = not stated)
  uint64_t resumed_from = 0;
  std::string sha256;     // of the file; "" for would_fetch
  bool verified = false;  // against a digest in the task file
};

// Fetches every file of the data set that is not there (files that are there with another digest
// are an error, never overwritten). Throws bad_input naming address and file for HTTP errors, wrong
// lengths and wrong digests (the .part is removed then), resource when writing fails or `progress`
// stopped it, and usage for a data set without published addresses.
std::vector<Fetched> fetch(const DatasetSpec& spec, const std::filesystem::path& root,
                           const FetchOptions& options = {});

}  // namespace assay::datasets
