#include "datasets/registry.h"

#include <algorithm>

#include "base/digest.h"
#include "base/error.h"
#include "datasets/layout.h"

namespace assay::datasets {

namespace fs = std::filesystem;

bool DatasetStatus::present() const {
  return std::all_of(splits.begin(), splits.end(), [](const auto& s) { return s.present; });
}

DatasetStatus status(const DatasetSpec& spec, const fs::path& root) {
  const Layout& layout = spec.layout();
  DatasetStatus out{spec.task(), layout.home, layout.licence, layout.note, {}, {}};
  for (const OriginFile& file : layout.origin) {
    std::error_code ignored;
    out.files.push_back(
        {file.url, file.to, file.sha256, file.bytes, fs::is_regular_file(root / file.to, ignored)});
  }
  for (const auto& [name, split] : layout.splits) {
    SplitStatus s{name, split.rows, spec.has_split(root, name), {}};
    for (const auto& alternatives : split.files) {
      for (const FilePattern& file : alternatives) s.looked_for.push_back(file.pattern);
    }
    out.splits.push_back(std::move(s));
  }
  return out;
}

std::vector<Verified> verify(const DatasetSpec& spec, const fs::path& root) {
  using State = Verified::State;
  std::vector<Verified> out;
  const DatasetStatus now = status(spec, root);
  for (const OriginStatus& file : now.files) {
    const std::string what = "file " + file.to;
    if (!file.present) {
      out.push_back({what, State::missing, ""});
      continue;
    }
    try {
      const std::string digest = sha256_file_hex(root / file.to);
      if (file.sha256.empty()) {
        out.push_back({what, State::unknown, "sha256 " + digest + ", no published digest"});
      } else if (digest == file.sha256) {
        out.push_back({what, State::good, "sha256 " + digest});
      } else {
        out.push_back({what, State::bad, "sha256 " + digest + ", published " + file.sha256});
      }
    } catch (const Error& e) {
      out.push_back({what, State::bad, e.what()});
    }
  }
  for (const SplitStatus& split : now.splits) {
    const std::string what = "split " + split.name;
    if (!split.present) {
      out.push_back({what, State::missing, ""});
      continue;
    }
    try {
      const Split read = load_split(spec, root, split.name);
      std::string detail = std::to_string(read.documents.size()) + " rows";
      for (const std::string& warning : read.warnings) detail += "; " + warning;
      const bool bad = read.warnings.size() > read.declared;
      const State state = bad                       ? State::bad
                          : split.expected_rows < 0 ? State::unknown
                                                    : State::good;
      out.push_back({what, state, detail});
    } catch (const Error& e) {
      out.push_back({what, State::bad, e.what()});
    }
  }
  return out;
}

}  // namespace assay::datasets
