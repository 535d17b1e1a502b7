#include "base/file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"

namespace assay {
namespace {

TEST(File, AtomicWriteReplacesAndLeavesNothingBehind) {
  const TemporaryDirectory dir;
  const fs::path path = dir.path() / "x.json";
  write_file_atomically(path, "one");
  write_file_atomically(path, "two");
  EXPECT_EQ(read_file(path), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1);
}

TEST(File, FailedWriteNamesThePath) {
  try {
    write_file_atomically("/nonexistent/x", "y");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::resource);
    EXPECT_EQ(e.where(), "/nonexistent/x");
  }
}

TEST(File, MappedFileSeesTheBytes) {
  const TemporaryDirectory dir;
  write_file_atomically(dir.path() / "a", "hello");
  const MappedFile map(dir.path() / "a");
  EXPECT_EQ(map.bytes().size(), 5u);
  EXPECT_EQ(static_cast<char>(map.bytes()[1]), 'e');
  EXPECT_THROW(MappedFile(dir.path()), Error);
  EXPECT_THROW(MappedFile(dir.path() / "none"), Error);
}

TEST(File, TruncatedGzipIsAnError) {
  const TemporaryDirectory dir;
  // gzip of "hello\n" * 100, made with gzip -9n, cut in the middle.
  std::ofstream(dir.path() / "a.gz", std::ios::binary)
      << std::string("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9", 14);
  EXPECT_THROW(read_file(dir.path() / "a.gz"), Error);
}

}  // namespace
}  // namespace assay
