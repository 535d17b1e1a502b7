#include "datasets/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "base/error.h"

namespace assay::datasets {

std::map<std::string, std::string> read_archive(
    const std::filesystem::path& path, const std::function<bool(std::string_view)>& wanted) {
  const std::unique_ptr<::archive, int (*)(::archive*)> in(archive_read_new(), archive_read_free);
  archive_read_support_filter_all(in.get());
  archive_read_support_format_tar(in.get());
  // Through the central directory: a zip read as a stream ends early without an error if truncated.
  archive_read_support_format_zip_seekable(in.get());
  const auto fail = [&] {
    const char* reason = archive_error_string(in.get());
    throw_bad_input(std::string("archive is damaged or truncated: ") + (reason ? reason : "?"),
                    path.string(), "fetch it again");
  };
  if (archive_read_open_filename(in.get(), path.c_str(), 1 << 20) != ARCHIVE_OK) fail();
  std::map<std::string, std::string> members;
  while (true) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(in.get(), &entry);
    if (status == ARCHIVE_EOF) return members;
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
}

}  // namespace assay::datasets
