#include "harness/watch/arrival.h"

#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace assay::harness {

namespace {

bool unfinished_name(const std::string& name) {
  for (const char* end : {".tmp", ".part", ".partial", ".incomplete"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

struct Content {
  std::set<std::string> files;
  std::string fingerprint;
  double newest = 0;  // Unix seconds
};

double seconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::optional<Content> content_of(const fs::path& directory) {
  Content content;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(directory, gone)) {
    content.files.insert(entry.path().filename().string());
  }
  if (gone) return std::nullopt;
  Sha256 hash;
  for (const std::string& name : content.files) {
    struct stat info {};
    if (::stat((directory / name).c_str(), &info) != 0) return std::nullopt;
    hash.update_field(name)
        .update_field(std::to_string(info.st_size))
        .update_field(std::to_string(info.st_mtim.tv_sec) + "." +
                      std::to_string(info.st_mtim.tv_nsec));
    content.newest = std::max(content.newest, seconds(info.st_mtim));
  }
  content.fingerprint = hash.finish_hex().substr(0, 16);
  return content;
}

bool holds_weights(const Content& content) {
  return std::any_of(content.files.begin(), content.files.end(),
                     [](const std::string& name) { return name.ends_with(".safetensors"); }) ||
         content.files.contains("model.safetensors.index.json");
}

std::string missing_weights(const fs::path& directory, const Content& content) {
  constexpr const char* kIndex = "model.safetensors.index.json";
  if (!content.files.contains(kIndex)) {
    return content.files.contains("model.safetensors")
               ? ""
               : std::string("model.safetensors or ") + kIndex + " is missing";
  }
  std::set<std::string> shards;
  try {
    const json::Document index = json::Document::load(directory / kIndex);
    index.root().at("weight_map").for_each_member([&](std::string_view, json::Value file) {
      shards.insert(std::string(file.string()));
    });
  } catch (const Error&) {
    return std::string(kIndex) + " cannot be read yet";
  }
  size_t there = 0;
  std::string first;
  for (const std::string& shard : shards) {
    if (content.files.contains(shard)) ++there;
    else if (first.empty()) first = shard;
  }
  if (there == shards.size()) return "";
  return std::to_string(there) + " of " + std::to_string(shards.size()) + " shards are there, " +
         first + " is missing";
}

std::string what_is_missing(const fs::path& directory, const Content& content,
                            const ArrivalRule& rule, double now) {
  for (const std::string& file : content.files) {
    if (unfinished_name(file)) return file + " is still being written";
  }
  for (const char* file : {"config.json", "tokenizer.json"}) {
    if (!content.files.contains(file)) return std::string(file) + " is missing";
  }
  if (std::string missing = missing_weights(directory, content); !missing.empty()) return missing;
  if (!rule.marker.empty()) {
    return content.files.contains(rule.marker) ? "" : rule.marker + " is missing";
  }
  // A file from the future (clocks of two machines) settles when our clock has passed it.
  const double quiet = now - content.newest;
  if (quiet >= rule.settle) return "";
  return "changed " + std::to_string(std::max(0L, std::lround(std::floor(quiet)))) +
         " s ago, waiting for " + std::to_string(std::lround(rule.settle)) + " s without a change";
}

}  // namespace

std::vector<Arrival> look_for_checkpoints(const fs::path& folder, const ArrivalRule& rule,
                                          double now) {
  std::error_code error;
  std::vector<Arrival> all;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code gone;
    if (!entry->is_directory(gone)) continue;
    const std::string name = entry->path().filename().string();
    if (name.starts_with(".") || unfinished_name(name) ||
        ::fnmatch(rule.match.c_str(), name.c_str(), 0) != 0) {
      continue;
    }
    const std::optional<Content> content = content_of(entry->path());
    if (!content || (!content->files.contains("config.json") && !holds_weights(*content))) continue;
    all.push_back({entry->path(), name, progress_of_name(name), content->fingerprint,
                   what_is_missing(entry->path(), *content, rule, now)});
  }
  if (error) {
    throw_bad_input("cannot be read: " + error.message(), folder.string(),
                    "name the folder in which checkpoints appear");
  }
  const auto key = [](const Arrival& a) {
    constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
    return std::tuple(a.progress.step.value_or(kLast), a.progress.tokens.value_or(kLast), a.name);
  };
  std::sort(all.begin(), all.end(),
            [&](const Arrival& a, const Arrival& b) { return key(a) < key(b); });
  return all;
}

}  // namespace assay::harness
