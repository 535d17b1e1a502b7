#include "datasets/fetch.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "datasets/layout.h"

namespace assay::datasets {

namespace fs = std::filesystem;

namespace {

std::string address(const std::string& url, const std::string& mirror) {
  if (mirror.empty()) return url;
  const size_t scheme = url.find("://");
  return mirror + (mirror.ends_with('/') ? "" : "/") +
         url.substr(scheme == std::string::npos ? 0 : scheme + 3);
}

// Which version of the file a part is of: the server's ETag or date, kept beside the part.
fs::path tag_file(const fs::path& part) { return part.string() + "-of"; }

std::string read_tag(const fs::path& part) {
  std::error_code ignored;
  return fs::exists(tag_file(part), ignored) ? read_file(tag_file(part)) : std::string();
}

void remove_part(const fs::path& part) {
  std::error_code ignored;
  fs::remove(part, ignored);
  fs::remove(tag_file(part), ignored);
}

uint64_t size_of(const fs::path& path) {
  std::error_code ignored;
  const auto size = fs::file_size(path, ignored);
  return ignored ? 0 : size;
}

// One transfer into an open file. curl calls back; errors are kept and thrown afterwards, because
// exceptions must not pass through C.
class Transfer {
 public:
  // `known`: a published digest will tell whether the result is right. Else a part is gone on with only
  // if the server says that it still has the version that the part is of.
  Transfer(std::string url, fs::path part, FetchProgress progress, const FetchOptions& options, bool known)
      : url_(std::move(url)),
        part_(std::move(part)),
        progress_(std::move(progress)),
        options_(options),
        known_(known) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0)
      throw_resource("cannot be written: " + std::string(std::strerror(errno)), part_.string());
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd_);
      throw_resource("is being written by another fetch", part_.string(), "wait for it");
    }
    tag_ = read_tag(part_);
    if (known_ || !tag_.empty()) start_ = size_of(part_);
  }
  ~Transfer() {
    const bool nothing = size_of(part_) == 0;
    ::close(fd_);
    if (nothing) remove_part(part_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Returns the offset the download went on from.
  uint64_t run() {
    const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
    if (!curl) throw_internal("libcurl cannot start");
    CURL* c = curl.get();
    char reason[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(c, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    // A publisher's address may redirect, but never to a local file or another protocol.
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, options_.connect_timeout_seconds);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, options_.stall_seconds);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "assay");
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, &Transfer::on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, this);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    // The range is asked for by hand: with CURLOPT_RESUME_FROM curl fails on a server that answers
    // with the whole file, which is only a reason to start over.
    const std::string range = std::to_string(start_) + "-", condition = "If-Range: " + tag_;
    if (start_ > 0) curl_easy_setopt(c, CURLOPT_RANGE, range.c_str());
    const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(
        start_ > 0 && !tag_.empty() ? curl_slist_append(nullptr, condition.c_str()) : nullptr, curl_slist_free_all);
    if (headers) curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
    const CURLcode code = curl_easy_perform(c);
    if (!write_error_.empty()) {
      throw_resource("cannot be written: " + write_error_, part_.string(),
                     "make room and run the command again: it goes on where it stopped");
    }
    if (stopped_) {
      throw_resource("download stopped", part_.string(), "the next fetch goes on from here");
    }
    if (code != CURLE_OK) {
      // 416: the range starts at or after the end; the digest will say whether the part is the
      // file.
      if (status_ == 416 && start_ > 0) return start_;
      const std::string detail = *reason ? reason : curl_easy_strerror(code);
      const bool gone = (status_ >= 400 && status_ < 500 && status_ != 429) || code == CURLE_TOO_MANY_REDIRECTS ||
                        code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT;
      throw_bad_input("download failed: " + detail, url_,
                      gone ? "if the publisher has moved it: --mirror URL, or place the file yourself"
                           : "run the command again to go on");
    }
    if (::fsync(fd_) != 0) {
      throw_resource("cannot be written: " + std::string(std::strerror(errno)), part_.string());
    }
    report(true);
    return resumed_;
  }

 private:
  static size_t on_header(char* data, size_t size, size_t count, void* self) {
    const std::string_view line(data, size * count);
    auto* t = static_cast<Transfer*>(self);
    if (line.starts_with("HTTP/")) {
      const size_t space = line.find(' ');
      t->status_ = space == std::string_view::npos
                       ? 0
                       : std::atoi(std::string(line.substr(space + 1, 3)).c_str());
      t->etag_.clear();
      t->date_.clear();
    }
    if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
      std::string name(line.substr(0, colon));
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      const std::string value(utf8::strip(line.substr(colon + 1)));
      // A weak ETag does not promise equal bytes.
      if (name == "etag" && !value.starts_with("W/")) t->etag_ = value;
      if (name == "last-modified") t->date_ = value;
    }
    return size * count;
  }

  static size_t on_data(char* data, size_t size, size_t count, void* self) {
    auto* t = static_cast<Transfer*>(self);
    if (!t->placed_) {
      // 206 is the rest of the file; anything else is the file from its start.
      t->resumed_ = t->status_ == 206 ? t->start_ : 0;
      t->progress_.done = t->resumed_;
      t->placed_ = true;
      if (::ftruncate(t->fd_, static_cast<off_t>(t->resumed_)) != 0 ||
          ::lseek(t->fd_, static_cast<off_t>(t->resumed_), SEEK_SET) < 0) {
        t->write_error_ = std::strerror(errno);
        return 0;
      }
      t->keep_tag();
    }
    for (size_t done = 0; done < size * count;) {
      const ssize_t n = ::write(t->fd_, data + done, size * count - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        t->write_error_ = std::strerror(errno);
        return 0;
      }
      done += static_cast<size_t>(n);
    }
    t->progress_.done += size * count;
    return size * count;
  }

  // Without a tag a part of an older version must not keep the older one's.
  void keep_tag() noexcept {
    try {
      const std::string& tag = etag_.empty() ? date_ : etag_;
      if (tag.empty()) {
        fs::remove(tag_file(part_));
      } else {
        write_file_atomically(tag_file(part_), tag);
      }
    } catch (const std::exception&) {
      // The part is then begun again next time.
    }
  }

  static int on_progress(void* self, curl_off_t total, curl_off_t, curl_off_t, curl_off_t) {
    auto* t = static_cast<Transfer*>(self);
    if (total > 0) t->progress_.total = t->resumed_ + static_cast<uint64_t>(total);
    if (!t->report(false)) t->stopped_ = true;
    return t->stopped_ ? 1 : 0;
  }

  bool report(bool always) {
    if (!options_.progress) return true;
    const auto now = std::chrono::steady_clock::now();
    if (!always && now - last_ < std::chrono::milliseconds(100)) return true;
    last_ = now;
    return options_.progress(progress_);
  }

  std::string url_;
  fs::path part_;
  FetchProgress progress_;
  const FetchOptions& options_;
  const bool known_;
  std::string tag_, etag_, date_;
  int fd_ = -1;
  uint64_t start_ = 0, resumed_ = 0;
  int status_ = 0;
  bool placed_ = false, stopped_ = false;
  std::string write_error_;
  std::chrono::steady_clock::time_point last_{};
};

// Throws if a complete file is not what the task file says.
void check(const OriginFile& file, const fs::path& path, const std::string& digest,
           const std::string& remedy) {
  const uint64_t bytes = size_of(path);
  if (file.bytes >= 0 && bytes != static_cast<uint64_t>(file.bytes)) {
    throw_bad_input(
        "has " + std::to_string(bytes) + " bytes, expected " + std::to_string(file.bytes),
        path.string(), remedy);
  }
  if (!file.sha256.empty() && digest != file.sha256) {
    throw_bad_input("has SHA-256 " + digest + ", expected " + file.sha256, path.string(), remedy);
  }
}

}  // namespace

std::vector<Fetched> fetch(const DatasetSpec& spec, const fs::path& root,
                           const FetchOptions& options) {
  const auto& files = spec.layout().origin;
  if (!options.mirror.empty() && !options.mirror.starts_with("http://") && !options.mirror.starts_with("https://")) {
    throw_usage("a mirror is an http or https address, not '" + options.mirror + "'");
  }
  if (files.empty()) {
    throw_usage("data set \"" + spec.task() + "\" has no published address to fetch from",
                spec.layout().note);
  }
  std::vector<Fetched> out;
  for (size_t i = 0; i < files.size(); ++i) {
    const OriginFile& file = files[i];
    const fs::path path = root / file.to;
    Fetched result{
        file.to, address(file.url, options.mirror), Fetched::State::would_fetch, 0, 0, "", false};
    std::error_code ignored;
    if (fs::exists(path, ignored)) {
      result.state = Fetched::State::present;
      result.bytes = size_of(path);
      if (!options.dry_run) {
        result.sha256 = sha256_file_hex(path);
        check(file, path, result.sha256, "move it away to fetch the published file");
        result.verified = !file.sha256.empty();
      }
    } else if (options.dry_run) {
      result.bytes = file.bytes >= 0 ? static_cast<uint64_t>(file.bytes) : 0;
    } else {
      std::error_code error;
      fs::create_directories(path.parent_path(), error);
      if (error)
        throw_resource("cannot be created: " + error.message(), path.parent_path().string());
      const fs::path part = path.string() + ".part";
      FetchProgress progress{file.to, 0, file.bytes >= 0 ? static_cast<uint64_t>(file.bytes) : 0, i,
                             files.size()};
      result.resumed_from = Transfer(result.url, part, progress, options, !file.sha256.empty()).run();
      result.sha256 = sha256_file_hex(part);
      try {
        check(file, part, result.sha256,
              "the server has another file than the task file states; it was removed");
      } catch (...) {
        remove_part(part);
        throw;
      }
      fs::rename(part, path, error);
      if (error) throw_resource("cannot be renamed: " + error.message(), part.string());
      fs::remove(tag_file(part), ignored);
      result.bytes = size_of(path);
      result.verified = !file.sha256.empty();
      result.state = Fetched::State::fetched;
    }
    out.push_back(std::move(result));
  }
  return out;
}

}  // namespace assay::datasets
