#include "harness/watch/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace assay::harness {

namespace {

class AppendedFile {
 public:
  explicit AppendedFile(const fs::path& path) : path_(path) {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail("cannot be written");
  }
  ~AppendedFile() { ::close(descriptor_); }
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;

  void write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t written = ::write(descriptor_, text.data(), text.size());
      if (written < 0) {
        if (errno == EINTR) continue;
        fail("cannot be written");
      }
      text.remove_prefix(static_cast<size_t>(written));
    }
    // (a pipe or terminal cannot be flushed and need not be)
    if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) fail("cannot be flushed");
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw_resource(std::string(what) + ": " + std::strerror(errno), path_.string(),
                   "name another file with --log");
  }
  const fs::path& path_;
  int descriptor_ = -1;
};

}  // namespace

WatchJournal::WatchJournal(std::filesystem::path path, std::string question)
    : path_(std::move(path)), question_(std::move(question)) {
  std::string text;
  if (fs::exists(path_)) text = read_file(path_);
  const size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
  size_t lines = 0, understood = 0;
  for (size_t at = 0; at < whole;) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.empty()) continue;
    ++lines;
    try {
      const json::Document document = json::Document::parse(line, path_.string());
      const json::Value root = document.root();
      const bool ours = root.at("question").string() == question_;
      const std::string checkpoint(root.at("checkpoint").string());
      Entry entry = find(checkpoint, std::string(root.at("fingerprint").string()));
      if (root.at("status").string() == "scored") entry.scored = true;
      else ++entry.attempts;
      if (ours) entries_[{checkpoint, std::string(root.at("fingerprint").string())}] = entry;
      ++understood;
    } catch (const Error&) {
      // Cut short when the program died. Should all lines be so, it is another file.
    }
  }
  if (lines > 1 && understood == 0) {
    throw_bad_input("is no journal of a watch", path_.string(), "name another file with --log");
  }
  // The line that was being written when the program died: it stays, but ends here.
  AppendedFile(path_).write(whole < text.size() ? "\n" : "");
}

WatchJournal::Entry WatchJournal::find(const std::string& checkpoint,
                                       const std::string& fingerprint) const {
  const auto found = entries_.find({checkpoint, fingerprint});
  return found == entries_.end() ? Entry{} : found->second;
}

void WatchJournal::append(const std::string& checkpoint, const std::string& fingerprint, bool scored,
                          std::string_view line) {
  AppendedFile(path_).write(std::string(line) + "\n");
  Entry& entry = entries_[{checkpoint, fingerprint}];
  if (scored) entry.scored = true;
  else ++entry.attempts;
}

}  // namespace assay::harness
