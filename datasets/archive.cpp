#include "datasets/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "base/error.h"

namespace assay::datasets {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, uint64_t extra) {
  throw_bad_input(std::to_string(extra) + " bytes follow the end of the archive", path.string(), "fetch it again");
}

// The last `count` bytes of a file.
std::string tail(const fs::path& path, uint64_t count) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(-static_cast<std::streamoff>(count), std::ios::end);
  std::string bytes(count, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(count));
  return bytes;
}

// A zip ends with its end record: 22 bytes, of which the last two say how long a comment follows.
void expect_nothing_after_zip(const fs::path& path) {
  constexpr size_t kRecord = 22, kComment = 65535;
  const std::string end = tail(path, std::min<uint64_t>(fs::file_size(path), kRecord + kComment));
  const auto over = [&](size_t at) {
    if (at + kRecord > end.size()) return std::string::npos;
    const size_t comment = static_cast<uint8_t>(end[at + 20]) + 256u * static_cast<uint8_t>(end[at + 21]);
    const size_t ends = at + kRecord + comment;
    return ends <= end.size() ? end.size() - ends : std::string::npos;
  };
  size_t extra = std::string::npos;
  for (size_t at = end.rfind("PK\5\6"); at != std::string::npos && extra != 0;) {
    extra = std::min(extra, over(at));
    at = at ? end.rfind("PK\5\6", at - 1) : std::string::npos;
  }
  if (extra != 0 && extra != std::string::npos) refuse(path, extra);
}

// Zeros may pad what is packed; anything else behind it is not the publisher's.
void expect_nothing_after_packed(const fs::path& path, uint64_t read) {
  const uint64_t size = fs::file_size(path);
  if (read >= size) return;
  const std::string rest = tail(path, size - read);
  if (rest.find_first_not_of('\0') != std::string::npos) refuse(path, rest.size());
}

}  // namespace

std::map<std::string, std::string> read_archive(
    const std::filesystem::path& path, const std::function<bool(std::string_view)>& wanted) {
  const std::unique_ptr<::archive, int (*)(::archive*)> in(archive_read_new(), archive_read_free);
  archive_read_support_filter_all(in.get());
  archive_read_support_format_tar(in.get());
  // Through the central directory: a zip read as a stream ends early without an error if truncated.
  archive_read_support_format_zip_seekable(in.get());
  const auto fail = [&] {
    const char* reason = archive_error_string(in.get());
    throw_bad_input(std::string("archive is damaged or truncated, or something follows its end: ") +
                        (reason ? reason : "?"),
                    path.string(), "fetch it again");
  };
  // Reads on behind the blocks that end a tar, so that what follows is seen.
  archive_read_set_options(in.get(), "tar:read_concatenated_archives=1");
  if (archive_read_open_filename(in.get(), path.c_str(), 1 << 20) != ARCHIVE_OK) fail();
  std::map<std::string, std::string> members;
  while (true) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(in.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    // A warning (ARCHIVE_WARN) is about owners, times or name encodings, never about content.
    if (status < ARCHIVE_WARN) fail();
    if (archive_entry_filetype(entry) != AE_IFREG || !archive_entry_pathname(entry)) continue;
    std::string_view name = archive_entry_pathname(entry);
    while (name.starts_with("./")) name.remove_prefix(2);
    if (!wanted(name)) continue;
    const std::string key(name);
    std::string content;
    char buffer[1 << 16];
    la_ssize_t n;
    while ((n = archive_read_data(in.get(), buffer, sizeof buffer)) > 0) {
      content.append(buffer, static_cast<size_t>(n));
    }
    if (n < 0) fail();
    members[key] = std::move(content);
  }
  if ((archive_format(in.get()) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP) {
    expect_nothing_after_zip(path);
  } else {
    expect_nothing_after_packed(path, static_cast<uint64_t>(archive_filter_bytes(in.get(), -1)));
  }
  return members;
}

}  // namespace assay::datasets
