#include "engine/checkpoint/shards.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "base/json.h"

namespace assay::engine {

namespace fs = std::filesystem;

namespace {

Error bad_input(std::string what, std::string where, std::string remedy = {}) {
  return Error(ErrorKind::bad_input, std::move(what), std::move(where), std::move(remedy));
}

std::string tensors_text(size_t n) { return n == 1 ? "1 tensor" : std::to_string(n) + " tensors"; }

// The index's map tensor -> file name.
std::map<std::string, std::string> load_index(const fs::path& path, std::vector<Error>& problems) {
  std::map<std::string, std::string> map;
  const json::Document document = json::Document::load(path);
  document.root().at("weight_map").for_each_member([&](std::string_view name, json::Value value) {
    const std::string file(value.string());
    if (file.find('/') != std::string::npos || file.empty() || file == "." || file == "..")
      value.fail("\"" + file + "\" is no file name of this directory");
    if (!map.emplace(name, file).second)
      problems.push_back(
          bad_input("the index names it twice", path.string() + ": tensor " + std::string(name)));
  });
  return map;
}

// Of a shard's name its five digits of the total; empty where it is no shard's name.
std::string_view total_in_name(std::string_view name) {
  constexpr std::string_view kForm = "model-00000-of-00000.safetensors";
  const auto fits = [](char c, char form) { return form == '0' ? c >= '0' && c <= '9' : c == form; };
  if (!std::equal(name.begin(), name.end(), kForm.begin(), kForm.end(), fits)) return {};
  return name.substr(kForm.find("of-") + 3, 5);
}

// The names model-0000I-of-0000N.safetensors for I of 1 .. N, where the directory holds one of
// them: without an index, too, it is known which shards there must be.
std::set<std::string> shards_without_index(const fs::path& directory) {
  std::set<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    const std::string total(total_in_name(name));
    if (total.empty()) continue;
    for (int i = 1; i <= std::stoi(total); ++i) {
      const std::string number = std::to_string(100'000 + i).substr(1);
      names.insert("model-" + number + "-of-" + total + ".safetensors");
    }
    names.insert(name);
  }
  return names;
}

}  // namespace

std::string ShardSet::where(const ShardedTensor& t) const {
  return files_[static_cast<size_t>(t.shard)].path().string() + ": tensor " + t.entry->name;
}

uint64_t ShardSet::bytes() const {
  uint64_t total = 0;
  for (const SafetensorsFile& file : files_) total += file.size();
  return total;
}

ShardSet ShardSet::open(const fs::path& directory, std::vector<Error>& problems,
                        std::vector<std::string>& notes) {
  ShardSet set;
  const fs::path single = directory / "model.safetensors";
  const fs::path index_path = directory / "model.safetensors.index.json";
  std::error_code ignored;
  const bool has_single = fs::exists(single, ignored), has_index = fs::exists(index_path, ignored);
  std::map<std::string, std::string> index;
  std::set<std::string> names;
  if (has_single) {
    names.insert("model.safetensors");
    if (has_index) notes.push_back("model.safetensors is used; the index beside it is ignored");
  } else if (has_index) {
    index = load_index(index_path, problems);
    for (const auto& [tensor, file] : index) names.insert(file);
  } else if (names = shards_without_index(directory); !names.empty()) {
    notes.push_back("no model.safetensors.index.json: all " + std::to_string(names.size()) +
                    " shards are read");
  } else {
    problems.push_back(bad_input("no model.safetensors and no model.safetensors.index.json",
                                 directory.string(),
                                 "weights are read from safetensors files only"));
    return set;
  }

  std::set<std::string> failed;
  for (const std::string& name : names) {
    const fs::path path = directory / name;
    if (!fs::exists(path, ignored)) {
      const auto n = std::count_if(index.begin(), index.end(),
                                   [&](const auto& item) { return item.second == name; });
      problems.push_back(bad_input(has_index ? "shard is missing: the index names " +
                                                   tensors_text(static_cast<size_t>(n)) + " in it"
                                             : "shard is missing",
                                   path.string(), "fetch the file"));
      failed.insert(name);
      continue;
    }
    try {
      set.files_.emplace_back(path);
    } catch (const Error& error) {
      problems.push_back(error);
      failed.insert(name);
    }
  }
  for (size_t shard = 0; shard < set.files_.size(); ++shard) {
    const SafetensorsFile& file = set.files_[shard];
    for (const SafetensorsEntry& entry : file.entries()) {
      const ShardedTensor tensor{static_cast<int>(shard), &entry};
      const auto [other, fresh] = set.tensors_.emplace(entry.name, tensor);
      if (!fresh)
        problems.push_back(bad_input(
            "is also in " + set.files_[static_cast<size_t>(other->second.shard)].path().string(),
            set.where(tensor)));
      if (!has_index || has_single) continue;
      const auto listed = index.find(entry.name);
      if (listed == index.end())
        problems.push_back(bad_input("is not in model.safetensors.index.json", set.where(tensor)));
      else if (listed->second != file.path().filename().string())
        problems.push_back(
            bad_input("the index places it in " + listed->second, set.where(tensor)));
    }
  }
  for (const auto& [tensor, file] : index)
    if (!failed.contains(file) && !set.tensors_.contains(tensor))
      problems.push_back(bad_input("is not in " + file + ", where the index places it",
                                   index_path.string() + ": tensor " + tensor));
  return set;
}

}  // namespace assay::engine
