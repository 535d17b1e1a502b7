#include "datasets/fetch.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/digest.h"
#include "base/error.h"
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

uint64_t size_of(const fs::path& path) {
  std::error_code ignored;
  const auto size = fs::file_size(path, ignored);
  return ignored ? 0 : size;
}

// One transfer into an open file. curl calls back; errors are kept and thrown afterwards, because
// exceptions must not pass through C.
class Transfer {
 public:
  Transfer(std::string url, fs::path part, FetchProgress progress, const FetchOptions& options)
      : url_(std::move(url)),
        part_(std::move(part)),
        progress_(std::move(progress)),
        options_(options) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0)
      throw_resource("cannot be written: " + std::string(std::strerror(errno)), part_.string());
    start_ = size_of(part_);
  }
  ~Transfer() {
    if (fd_ >= 0) ::close(fd_);
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
    const std::string range = std::to_string(start_) + "-";
    if (start_ > 0) curl_easy_setopt(c, CURLOPT_RANGE, range.c_str());
    const CURLcode code = curl_easy_perform(c);
    if (!write_error_.empty()) throw_resource("cannot be written: " + write_error_, part_.string());
    if (stopped_) {
      throw_resource("download stopped", part_.string(), "the next fetch goes on from here");
    }
    if (code != CURLE_OK) {
      // 416: the range starts at or after the end; the digest will say whether the part is the
      // file.
      if (status_ == 416 && start_ > 0) return start_;
      const std::string detail = *reason ? reason : curl_easy_strerror(code);
      throw_bad_input("download failed: " + detail, url_, "run the command again to go on");
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
      result.resumed_from = Transfer(result.url, part, progress, options).run();
      result.sha256 = sha256_file_hex(part);
      try {
        check(file, part, result.sha256,
              "the server has another file than the task file states; it was removed");
      } catch (...) {
        fs::remove(part, ignored);
        throw;
      }
      fs::rename(part, path, error);
      if (error) throw_resource("cannot be renamed: " + error.message(), part.string());
      result.bytes = size_of(path);
      result.verified = !file.sha256.empty();
      result.state = Fetched::State::fetched;
    }
    out.push_back(std::move(result));
  }
  return out;
}

}  // namespace assay::datasets
