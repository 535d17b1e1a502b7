// Python literals, pickles, archives, file patterns.
#include <archive.h>
#include <archive_entry.h>

#include <fstream>

#include "base/random.h"
#include "datasets/archive.h"
#include "datasets/files.h"
#include "datasets/pickle.h"
#include "datasets/python_literal.h"
#include "tests/datasets/specs.h"

namespace assay::datasets {
namespace {

using namespace std::string_literals;

TEST(PythonLiteral, WhatReprWrites) {
  // Left: repr() of CPython 3.11; right: json.dumps of the same value.
  EXPECT_EQ(python_literal_to_json(R"(['a', "it's", 'x\'"y', '\u3000\n\\'])", "x"),
            "[\"a\",\"it's\",\"x'\\\"y\",\"\u3000\\n\\\\\"]");
  EXPECT_EQ(python_literal_to_json("{'a': None, 'b': (1, -2.5, True), 'c': {}}", "x"),
            R"({"a":null,"b":[1,-2.5,true],"c":{}})");
  EXPECT_EQ(python_literal_to_json("('x',)", "x"), R"(["x"])");
  EXPECT_EQ(python_literal_to_json("'a' \"b\"", "x"), "\"ab\"");
  EXPECT_EQ(python_literal_to_json(R"('\x41\101\U0001F600\q')", "x"), "\"AA\U0001F600\\\\q\"");
  EXPECT_EQ(python_literal_to_json("r'\\d'", "x"), "\"\\\\d\"");
  EXPECT_EQ(python_literal_to_json("'''a'b\n'''", "x"), "\"a'b\\n\"");
  EXPECT_EQ(python_list("['a', 1, [2]]", "x"), (std::vector<std::string>{"a", "1", "[2]"}));
}

TEST(PythonLiteral, AnythingElseIsRefused) {
  const auto message = [](const std::string& text) {
    return message_of([&] { python_literal_to_json(text, "f:3"); });
  };
  EXPECT_EQ(message("['a'"),
            "f:3: not a Python literal: expected a comma or the end of the list at column 5");
  EXPECT_EQ(message("['a"), "f:3: not a Python literal: string without end at column 4");
  EXPECT_EQ(message("__import__('os')"), "f:3: not a Python literal: expected a value at column 1");
  EXPECT_EQ(message("[1] + [2]"),
            "f:3: not a Python literal: characters after the literal at column 5");
  EXPECT_EQ(message("{1: 2}"),
            "f:3: not a Python literal: expected a string as a dict's key at column 2");
  EXPECT_NE(message(std::string(100000, '[')).find("nested too deeply"), std::string::npos);
  EXPECT_EQ(message(""), "f:3: not a Python literal: expected a value at column 1");
}

TEST(Pickle, StringsOfEveryProtocol) {
  // pickle.dumps("a\u00e9\n", protocol=0..5) of CPython 3.11.
  EXPECT_EQ(unpickle_string("Va\xe9\\u000a\np0\n."s, "x"), "a\u00e9\n");
  EXPECT_EQ(unpickle_string("X\x04\0\0\0a\xc3\xa9\nq\0."s, "x"), "a\u00e9\n");
  EXPECT_EQ(unpickle_string("\x80\x02X\x04\0\0\0a\xc3\xa9\nq\0."s, "x"), "a\u00e9\n");
  EXPECT_EQ(unpickle_string("\x80\x04\x95\x08\0\0\0\0\0\0\0\x8c\x04\x61\xc3\xa9\n\x94."s, "x"),
            "a\u00e9\n");
  EXPECT_EQ(unpickle_string("\x80\x05\x95\x08\0\0\0\0\0\0\0\x8c\x04\x61\xc3\xa9\n\x94."s, "x"),
            "a\u00e9\n");
}

TEST(Pickle, EverythingThatIsNotOneStringIsRefused) {
  const auto message = [](const std::string& bytes) {
    return message_of([&] { unpickle_string(bytes, "row"); });
  };
  // os.system("id"), the classic: GLOBAL, MARK, ..., REDUCE.
  EXPECT_EQ(message("cos\nsystem\n(S'id'\ntR."),
            "row: pickle: opcode 0x63 is refused: only one pickled string is read (byte 0)");
  EXPECT_EQ(message("\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93."s),
            "row: pickle: holds more than one value (byte 7)");
  EXPECT_EQ(message("\x80\x04]\x94."s),
            "row: pickle: opcode 0x5d is refused: only one pickled string is read (byte 2)");
  EXPECT_EQ(message("\x80\x04."s), "row: pickle: holds no string (byte 2)");
  EXPECT_EQ(message("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff."s),
            "row: pickle: truncated (byte 11)");
  EXPECT_EQ(message("X\x01\0\0\0a"s), "row: pickle: truncated (byte 6)");
  EXPECT_EQ(message("X\x01\0\0\0a.."s), "row: pickle: bytes after its end (byte 7)");
  EXPECT_EQ(message("X\x01\0\0\0\xff."s), "row: pickle: string is not UTF-8 (byte 0)");
}

TEST(Pickle, CompressedDataIsBounded) {
  // zlib.compress(b"x" * 1000) of CPython.
  const std::string bytes = decode_base64("eJyrqBgFo2AUDHcAAKr01NA=", "x");
  EXPECT_EQ(inflate_zlib(bytes, 1000, "x"), std::string(1000, 'x'));
  EXPECT_EQ(message_of([&] { inflate_zlib(bytes, 999, "row"); }),
            "row: compressed data is larger than allowed");
  EXPECT_EQ(message_of([&] { inflate_zlib(bytes.substr(0, 9), 1000, "row"); }),
            "row: zlib data is damaged or truncated");
  EXPECT_EQ(message_of([] { decode_base64("!!!!", "row"); }), "row: not valid base64");
}

TEST(Patterns, StarStaysInOneName) {
  EXPECT_TRUE(matches("MATH/test/*/*.json", "MATH/test/algebra/12.json"));
  EXPECT_FALSE(matches("MATH/*.json", "MATH/test/12.json"));
  EXPECT_TRUE(matches("*a*b", "xaxxb"));
  EXPECT_FALSE(matches("*.txt", "a.txt.bak"));
}

TEST(Patterns, NumbersSortByValue) {
  std::vector<std::string> names = {"10.txt", "9.txt", "a10b2", "a10b10", "a9", "1.txt"};
  std::sort(names.begin(), names.end(), natural_less);
  EXPECT_EQ(names, (std::vector<std::string>{"1.txt", "9.txt", "10.txt", "a9", "a10b2", "a10b10"}));
}

void write_archive(const fs::path& path, bool zip,
                   const std::map<std::string, std::string>& members) {
  ::archive* out = archive_write_new();
  zip ? archive_write_set_format_zip(out) : archive_write_set_format_pax_restricted(out);
  if (!zip) archive_write_add_filter_gzip(out);
  ASSERT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
  for (const auto& [name, text] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(text.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    ASSERT_EQ(archive_write_header(out, entry), ARCHIVE_OK);
    archive_write_data(out, text.data(), text.size());
    archive_entry_free(entry);
  }
  archive_write_free(out);
}

TEST(Archives, PathsMayPointInside) {
  const TemporaryDirectory directory;
  std::map<std::string, std::string> members;
  Random random(1);
  for (int i = 1; i <= 12; ++i) {
    std::string filler;  // hardly compressible, so that half of the file lacks half of the members
    for (int n = 0; n < 500; ++n) filler += std::to_string(random.next_u32());
    members["./MATH/test/algebra/" + std::to_string(i) + ".json"] =
        "{\n \"problem\": \"" + std::to_string(i) + "\", \"filler\": \"" + filler + "\"\n}";
  }
  members["./MATH/train/algebra/1.json"] = "{}";
  for (const bool zip : {true, false}) {
    const std::string name = zip ? "MATH.zip" : "MATH.tar.gz";
    write_archive(directory.path() / name, zip, members);
    const DatasetSpec spec = spec_from(R"({"format":"json","files":")" + name +
                                       R"(//MATH/test/*/*.json","splits":{"test":{"rows":12}}})");
    const Split split = load_split(spec, directory.path(), "test");
    ASSERT_EQ(split.documents.size(), 12u);
    EXPECT_EQ(split.documents[9].text("problem"), "10") << "numeric order";
    EXPECT_EQ(split.files[9].path, directory.path() / name / "" / "MATH/test/algebra/10.json");
    EXPECT_TRUE(split.warnings.empty());
    fs::rename(directory.path() / name, directory.path() / "whole");
    const std::string bytes = read_file(directory.path() / "whole");  // (not unpacked under this name)
    std::ofstream(directory.path() / name, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
    SCOPED_TRACE(name);
    const std::string message = message_of([&] { load_split(spec, directory.path(), "test"); });
    EXPECT_NE(message.find("archive"), std::string::npos) << message;
    EXPECT_NE(message.find(name), std::string::npos) << message;
    // Zeros may pad what is compressed; other bytes behind the end are named.
    for (const std::string& extra : {std::string("junk"), std::string(3000, 'x')}) {
      std::ofstream(directory.path() / name, std::ios::binary) << bytes + extra;
      const std::string after = message_of([&] { load_split(spec, directory.path(), "test"); });
      EXPECT_EQ(after, (directory.path() / name).string() + ": " + std::to_string(extra.size()) +
                           " bytes follow the end of the archive (fetch it again)");
    }
    if (zip) continue;
    std::ofstream(directory.path() / name, std::ios::binary) << bytes + std::string(1000, '\0');
    EXPECT_EQ(load_split(spec, directory.path(), "test").documents.size(), 12u);
  }
}

TEST(Archives, NothingFollowsATar) {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "a.tar";
  write_archive(directory.path() / "a.tar.gz", false, {{"a.jsonl", "{\"q\":1}\n"}});
  const std::string tar = read_file(directory.path() / "a.tar.gz");
  const DatasetSpec spec = spec_from(R"({"files":"a.tar//a.jsonl","splits":{"test":{}}})");
  for (const std::string& padding : {std::string(), std::string(10240, '\0')}) {
    std::ofstream(path, std::ios::binary) << tar + padding;
    EXPECT_EQ(load_split(spec, directory.path(), "test").documents.size(), 1u);
  }
  for (const std::string& extra : {std::string("junk"), std::string(3000, 'x')}) {
    std::ofstream(path, std::ios::binary) << tar + extra;
    const std::string message = message_of([&] { load_split(spec, directory.path(), "test"); });
    EXPECT_TRUE(message.starts_with(path.string() +
                                    ": archive is damaged or truncated, or something follows its end: "))
        << message;
  }
}

}  // namespace
}  // namespace assay::datasets
