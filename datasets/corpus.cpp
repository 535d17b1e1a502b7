#include "datasets/corpus.h"

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "datasets/files.h"

namespace assay::datasets {

namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 2> kRows = {".jsonl", ".ndjson"};
constexpr std::array<std::string_view, 17> kTexts = {".txt", ".md", ".rst", ".tex",  ".html", ".xml",
                                                     ".csv", ".py", ".c",   ".cc",   ".cpp",  ".h",
                                                     ".java", ".js", ".go", ".rs",   ".text"};

// The ending that says what is inside: ".jsonl" of "a.jsonl.gz".
std::string ending(const fs::path& path) {
  const fs::path name = path.extension() == ".gz" ? path.stem() : path.filename();
  return name.extension().string();
}

std::string bare_name(const fs::path& path) {
  fs::path name = path.filename();
  if (name.extension() == ".gz") name = name.stem();
  return name.stem().string();
}

template <class List>
bool contains(const List& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

class CorpusReader {
 public:
  explicit CorpusReader(const fs::path& path)
      : root_(path), folder_(fs::is_directory(path)), name_(corpus_name(path)) {}

  Split read() {
    for (const fs::path& file : files()) read_file(file);
    if (out_.documents.empty()) {
      throw_bad_input("holds no text", root_.string(),
                      "--text takes .jsonl files with \"text\", text files, or a folder of them");
    }
    return std::move(out_);
  }

 private:
  std::vector<fs::path> files() {
    if (!folder_) return {root_};
    std::vector<fs::path> found;
    std::string ignored;
    size_t others = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      const fs::path below = entry.path().lexically_relative(root_);
      const bool hidden = std::any_of(below.begin(), below.end(), [](const fs::path& part) {
        return part.string().starts_with('.');
      });
      if (!entry.is_regular_file() || hidden) continue;
      const std::string kind = ending(entry.path());
      if (contains(kRows, kind) || contains(kTexts, kind)) {
        found.push_back(entry.path());
      } else if (++others <= 3) {
        ignored += (ignored.empty() ? "" : ", ") + below.string();
      }
    }
    if (others > 0) {
      out_.warnings.push_back(root_.string() + ": " + std::to_string(others) +
                              " files are neither text nor JSON lines and are left out: " + ignored +
                              (others > 3 ? ", ..." : ""));
    }
    std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
      return natural_less(a.string(), b.string());
    });
    return found;
  }

  void read_file(const fs::path& path) {
    const fs::path below = folder_ ? path.lexically_relative(root_) : path.filename();
    domain_ = !folder_ || below.begin() == std::prev(below.end()) ? bare_name(path)
                                                                  : below.begin()->string();
    std::string bytes = assay::read_file(path);
    if (const size_t bad = utf8::first_invalid(bytes); bad != std::string::npos) {
      const auto line = 1 + std::count(bytes.begin(), bytes.begin() + static_cast<long>(bad), '\n');
      throw_bad_input("bytes that are not UTF-8", path.string() + ":" + std::to_string(line));
    }
    if (bytes.starts_with("\xEF\xBB\xBF")) bytes.erase(0, 3);
    uint64_t rows = 0;
    if (contains(kRows, ending(path))) {
      rows = read_rows(bytes, path.string(), below.string());
    } else {
      add(std::move(bytes), domain_, below.string(), 0);
      rows = 1;
    }
    out_.files.push_back({path, sha256_file_hex(path), rows});
  }

  uint64_t read_rows(std::string_view bytes, const std::string& where, const std::string& below) {
    uint64_t rows = 0;
    for (size_t begin = 0, line = 1; begin < bytes.size(); ++line) {
      const size_t end = std::min(bytes.find('\n', begin), bytes.size());
      const std::string_view text = bytes.substr(begin, end - begin);
      begin = end + 1;
      if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const json::Document row = json::Document::parse(text, where + ":" + std::to_string(line));
      add(text_of_row(row.root()), domain_of_row(row.root()), below, static_cast<int64_t>(rows++));
    }
    return rows;
  }

  static std::string text_of_row(json::Value row) {
    if (!row.is_object()) row.fail("expected an object with \"text\"");
    for (const char* key : {"text", "content"}) {
      if (const json::Value text = row.find(key); text.exists()) return std::string(text.string());
    }
    std::string keys;
    row.for_each_member([&](std::string_view key, json::Value) {
      keys += (keys.empty() ? "" : ", ") + std::string(key);
    });
    row.fail("row has neither \"text\" nor \"content\"", keys.empty() ? "" : "it has " + keys);
  }

  std::string domain_of_row(json::Value row) const {
    for (const char* key : {"domain", "subset", "source"}) {
      if (const json::Value domain = row.find(key); domain.exists() && domain.is_string()) {
        return std::string(domain.string());
      }
    }
    if (const json::Value meta = row.find("meta"); meta.exists() && meta.is_object()) {
      const std::string domain = meta.string_or("pile_set_name", "");
      if (!domain.empty()) return domain;
    }
    if (const json::Value domain = row.find("category"); domain.exists() && domain.is_string()) {
      return std::string(domain.string());
    }
    return domain_;
  }

  void add(std::string text, std::string domain, const std::string& below, int64_t row) {
    Document document;
    document.id = "text:" + name_ + ":" + below + ":" + std::to_string(row);
    document.split = "test";
    document.group = domain.empty() ? "(none)" : std::move(domain);
    document.source_index = static_cast<int64_t>(out_.documents.size());
    document.content_hash =
        Sha256().update_field("text").update_field(text).update_field(document.group).finish_hex();
    document.fields["domain"] = document.group;
    document.fields["text"] = std::move(text);
    out_.documents.push_back(std::move(document));
  }

  const fs::path root_;
  const bool folder_;
  const std::string name_;
  std::string domain_;  // of the file being read
  Split out_;
};

}  // namespace

std::string corpus_name(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  const fs::path last = normal.filename().empty() ? normal.parent_path() : normal;
  return fs::is_directory(path) ? last.filename().string() : bare_name(last);
}

Split load_corpus(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw_bad_input("there is no such file or folder", path.string());
  return CorpusReader(path).read();
}

}  // namespace assay::datasets
