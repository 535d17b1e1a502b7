#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace assay {

namespace {

std::string reason() { return std::strerror(errno); }

// Closes a descriptor when the scope ends.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::string read_bytes(const fs::path& path) {
  const Descriptor in{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat info {};
  if (in.fd < 0 || ::fstat(in.fd, &info) != 0) {
    throw_bad_input("cannot be opened: " + reason(), path.string());
  }
  if (S_ISDIR(info.st_mode)) throw_bad_input("is a directory, not a file", path.string());
  std::string out(static_cast<size_t>(info.st_size), '\0');
  size_t have = 0;
  while (true) {
    if (have == out.size()) out.resize(out.size() + 65536);  // pipes, or a file that grows
    const ssize_t n = ::read(in.fd, out.data() + have, out.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_bad_input("cannot be read: " + reason(), path.string());
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  out.resize(have);
  return out;
}

// Frees zlib's state when the scope ends.
struct Inflater {
  z_stream stream{};
  ~Inflater() { inflateEnd(&stream); }
};

// What the members of a gzip file hold. Content that is no gzip at all stays as it is: downloads may have
// been unpacked on the way. zlib's own gzread passes over what follows the last member in silence.
std::string gunzip(const std::string& bytes, const fs::path& path) {
  const std::string_view magic = "\x1F\x8B";
  if (!bytes.starts_with(magic)) return bytes;
  std::string out;
  std::string_view rest = bytes;
  while (rest.starts_with(magic)) {
    Inflater member;
    if (inflateInit2(&member.stream, 15 + 16) != Z_OK) throw_resource("zlib cannot start", path.string());
    char buffer[1 << 16];
    int status = Z_OK;
    while (status != Z_STREAM_END) {
      z_stream& stream = member.stream;
      if (stream.avail_in == 0) {  // counted in 32 bits
        const size_t part = std::min<size_t>(rest.size(), 1 << 30);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(rest.data()));
        stream.avail_in = static_cast<uInt>(part);
        rest.remove_prefix(part);
      }
      stream.next_out = reinterpret_cast<Bytef*>(buffer);
      stream.avail_out = sizeof buffer;
      status = inflate(&stream, Z_NO_FLUSH);
      out.append(buffer, sizeof buffer - stream.avail_out);
      const bool stuck = status == Z_BUF_ERROR && stream.avail_in == 0 && rest.empty();
      if (stuck || (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)) {
        throw_bad_input(std::string("gzip stream is damaged or truncated: ") +
                            (stuck ? "it ends early" : stream.msg ? stream.msg : "?"),
                        path.string(), "fetch it again");
      }
    }
    rest = std::string_view(bytes).substr(bytes.size() - rest.size() - member.stream.avail_in);
  }
  // Zeros fill up blocks of tapes.
  if (rest.find_first_not_of('\0') != std::string_view::npos) {
    throw_bad_input(std::to_string(rest.size()) + " bytes follow the end of the gzip data",
                    path.string(), "fetch it again");
  }
  return out;
}

}  // namespace

std::string read_file(const fs::path& path) {
  std::string bytes = read_bytes(path);
  return path.extension() == ".gz" ? gunzip(bytes, path) : bytes;
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  std::string temporary = path.string() + ".XXXXXX";
  const Descriptor out{::mkostemp(temporary.data(), O_CLOEXEC)};
  if (out.fd < 0) throw_resource("cannot be written: " + reason(), path.string());
  const auto fail = [&] {
    const std::string why = reason();
    ::unlink(temporary.c_str());
    throw_resource("cannot be written: " + why, path.string());
  };
  for (size_t done = 0; done < content.size();) {
    const ssize_t n = ::write(out.fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail();
    done += static_cast<size_t>(n);
  }
  if (::fchmod(out.fd, 0644) != 0 || ::fsync(out.fd) != 0 ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    fail();
  }
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const Descriptor in{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat info {};
  if (in.fd < 0 || ::fstat(in.fd, &info) != 0) {
    throw_bad_input("cannot be opened: " + reason(), path.string());
  }
  if (!S_ISREG(info.st_mode)) throw_bad_input("is not a regular file", path.string());
  size_ = static_cast<size_t>(info.st_size);
  if (size_ == 0) return;
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, in.fd, 0);
  if (map == MAP_FAILED) throw_resource("cannot be mapped: " + reason(), path.string());
  data_ = static_cast<const std::byte*>(map);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

TemporaryDirectory::TemporaryDirectory(std::string_view prefix) {
  std::error_code error;
  const fs::path folder = fs::temp_directory_path(error);
  if (error) {
    const char* named = std::getenv("TMPDIR");
    throw_resource("there is no folder for temporary files: " + error.message(),
                   named ? named : "/tmp", "set TMPDIR to one that exists");
  }
  std::string pattern = (folder / (std::string(prefix) + ".XXXXXX")).string();
  if (!::mkdtemp(pattern.data())) {
    throw_resource("cannot create a temporary directory: " + reason(), pattern);
  }
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace assay
