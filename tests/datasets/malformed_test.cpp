// Broken input: one clear error with the exact place, never a crash or a silent default.
#include <zlib.h>

#include <fstream>

#include "datasets/csv.h"
#include "tests/datasets/specs.h"

namespace assay::datasets {
namespace {

class Malformed : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) {
    fs::create_directories((root() / name).parent_path());
    std::ofstream(root() / name, std::ios::binary) << content;
  }
  fs::path root() const { return directory_.path(); }
  // Loads "toy:test" of a specification whose data are the given keys, without the directory's
  // name.
  std::string message(const std::string& keys) {
    std::string text = message_of(
        [&] { load_split(spec_from("{" + keys + ",\"splits\":{\"test\":{}}}"), root(), "test"); });
    for (size_t at; (at = text.find(root().string() + "/")) != std::string::npos;) {
      text.erase(at, root().string().size() + 1);
    }
    return text;
  }
  TemporaryDirectory directory_{"assay-datasets"};
};

const char* kCsv =
    R"("format":"csv","files":"a.csv","header":false,"columns":["question","A","B","answer"],
  "fields":{"choices":["A","B"],"answer":{"letter":"answer"}})";

TEST_F(Malformed, CsvRowsNameTheLineTheyStartOn) {
  write("a.csv", "q1,x,y,A\n\"q\n2\",x,y,B\nq3,x,A\n");
  EXPECT_EQ(message(kCsv), "a.csv:4: row has 3 cells, expected 4");
  write("a.csv", "q1,x,y,A\n\"q2,x,y,B\nq3,x,y,A\n");
  EXPECT_EQ(message(kCsv), "a.csv:2: quoted cell never ends (is the file truncated?)");
  write("a.csv", "q1,x,y,A\n\"q2\"z,x,y,B\n");
  EXPECT_EQ(message(kCsv), "a.csv:2: text after a closing quote");
  write("a.csv", "q1,x,y,A\nq2,x,y,C\n");
  EXPECT_EQ(message(kCsv), "a.csv:2: answer 2 is outside the row's 2 choices");
  write("a.csv", "q1,x,y,a\n");
  EXPECT_EQ(message(kCsv), "a.csv:1: \"answer\" is not an answer letter: \"a\"");
  write("a.csv", "q1,x,y,A\nq\xFF,x,y,A\n");
  EXPECT_EQ(message(kCsv), "a.csv:2: bytes that are not UTF-8");
}

TEST_F(Malformed, ByteOrderMarkAndNewlinesAreNormalised) {
  write("a.csv", "\xEF\xBB\xBFq1,\"x\r\nx\",y,A\r\nq2,x,y,B\r");
  const Split split = load_split(
      spec_from(std::string("{") + kCsv + R"(,"splits":{"test":{"rows":3}}})"), root(), "test");
  ASSERT_EQ(split.documents.size(), 2u);
  EXPECT_EQ(split.documents[0].text("question"), "q1");
  EXPECT_EQ(split.documents[0].list("choices")[0], "x\nx");
  EXPECT_EQ(split.documents[1].integer("answer"), 1);
  EXPECT_EQ(split.warnings, std::vector<std::string>{"toy test: 2 rows, expected 3"});
}

TEST_F(Malformed, CsvHeaders) {
  const std::string keys =
      R"("format":"csv","delimiter":"auto","files":"a.csv","columns":["question","b"])";
  write("a.csv", "question;c\nq;1\n");
  EXPECT_EQ(message(keys), "a.csv:1: header lacks the column \"b\"");
  write("a.csv", "");
  EXPECT_EQ(message(keys), "a.csv: has no header row");
  write("a.csv", "question;b;;\nq;1;;\n");
  EXPECT_EQ(message(keys), "no error");
}

TEST_F(Malformed, JsonLines) {
  const std::string keys =
      R"("files":"a.jsonl","fields":{"answer":{"integer":"label"},"choices":"endings"})";
  write("a.jsonl", "{\"label\":0,\"endings\":[\"a\"]}\n{\"label\":0,\"endings\":[\"a\"}\n");
  EXPECT_NE(message(keys).find("a.jsonl:2: not valid JSON"), std::string::npos) << message(keys);
  write("a.jsonl", "{\"label\":0,\"endings\":[\"a\"]}\n\n{\"label\":\"x\",\"endings\":[\"a\"]}\n");
  EXPECT_EQ(message(keys), "a.jsonl:3: \"label\" is not an integer: \"x\"");
  write("a.jsonl", "{\"endings\":[\"a\"]}\n");
  EXPECT_EQ(message(keys), "a.jsonl:1: lacks the key \"label\"");
  write("a.jsonl", "{\"label\":0,\"endings\":[\"a\"]}\n[1]\n");
  EXPECT_NE(message(keys).find("a.jsonl:2: expected an object"), std::string::npos)
      << message(keys);
}

TEST_F(Malformed, JsonRecordsNameTheirPosition) {
  const std::string keys =
      R"("format":"json","files":"a.json","records":"data.*.qas.*","fields":{"answer":{"index_of":["a","c"]},"choices":"c"})";
  write("a.json", R"({"data":[{"qas":[{"a":"x","c":["x"]}]},{"qas":[{"a":"y","c":["x"]}]}]})");
  EXPECT_EQ(message(keys), "a.json: record 1: \"y\" is not among \"c\"");
  write("a.json", R"({"data":[{"qos":[]}]})");
  EXPECT_EQ(message(keys), "a.json: data[0]: lacks the key \"qas\"");
}

TEST_F(Malformed, Labels) {
  const std::string keys =
      R"("files":"a.jsonl","labels":{"file":"a.lst","field":"label"},"fields":{"answer":{"integer":"label"}})";
  write("a.jsonl", "{\"q\":1}\n{\"q\":2}\n");
  write("a.lst", "0\n1\n1\n");
  EXPECT_EQ(message(keys), "a.lst: has 3 labels for 2 rows");
  write("a.lst", "0\n");
  EXPECT_EQ(message(keys), "a.lst: has only 1 labels (row 1 has none)");
  write("a.lst", "0\nx\n");
  EXPECT_EQ(message(keys), "a.jsonl:2: \"label\" is not an integer: \"x\"");
}

TEST_F(Malformed, MissingFilesNameThePathAndTheCommand) {
  EXPECT_EQ(message(R"("files":[["d/a.jsonl","d/b.jsonl"]])"),
            "d/a.jsonl: data file is missing (fetch it with: assay data fetch toy --data " +
                root().string() + ")");
  EXPECT_EQ(message_of([&] {
              load_split(spec_from(R"({"files":"a","splits":{"dev":{}}})"), root(), "test");
            }),
            "data set \"toy\" has no split \"test\" (it has: dev)");
}

std::string gzipped(std::string text) {
  std::string gz(text.size() + 64, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(gz.data());
  stream.avail_out = static_cast<uInt>(gz.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  gz.resize(stream.total_out);
  deflateEnd(&stream);
  return gz;
}

TEST_F(Malformed, Gzip) {
  const std::string keys = R"("files":"a.jsonl.gz")";
  std::string text;
  for (int i = 0; i < 100; ++i) text += "{\"q\":" + std::to_string(i * i) + "}\n";
  const auto rows = [&] {
    return load_split(spec_from("{" + keys + R"(,"splits":{"test":{}}})"), root(), "test").documents.size();
  };
  const std::string gz = gzipped(text);
  write("a.jsonl.gz", gz);
  EXPECT_EQ(rows(), 100u);
  // Several members, zeros behind the last one, and content that was unpacked on the way.
  write("a.jsonl.gz", gz + gzipped("{\"q\":-1}\n") + std::string(512, '\0'));
  EXPECT_EQ(rows(), 101u);
  write("a.jsonl.gz", text);
  EXPECT_EQ(rows(), 100u);
  for (const size_t length : {size_t{2}, size_t{9}, gz.size() / 2, gz.size() - 1}) {
    write("a.jsonl.gz", gz.substr(0, length));
    EXPECT_EQ(message(keys),
              "a.jsonl.gz: gzip stream is damaged or truncated: it ends early (fetch it again)")
        << length;
  }
  write("a.jsonl.gz", gz + "junk");
  EXPECT_EQ(message(keys), "a.jsonl.gz: 4 bytes follow the end of the gzip data (fetch it again)");
  std::string flipped = gz;
  flipped[flipped.size() - 5] ^= 1;  // the check sum
  write("a.jsonl.gz", flipped);
  EXPECT_EQ(message(keys),
            "a.jsonl.gz: gzip stream is damaged or truncated: incorrect data check (fetch it again)");
}

TEST_F(Malformed, NulBytesAndOtherEncodings) {
  const std::string nul = ": holds a NUL byte (the file is damaged; fetch it again)";
  write("a.jsonl", std::string("{\"q\":1}\n{\"q\":\"\0\"}\n", 18));
  EXPECT_EQ(message(R"("files":"a.jsonl")"), "a.jsonl:2" + nul);
  write("a.csv", std::string("q1,x,y,A\nq2,x,\0,B\n", 19));
  EXPECT_EQ(message(kCsv), "a.csv:2" + nul);
  write("a.jsonl", "{\"q\":1}\n" + std::string(4096, '\0'));
  EXPECT_EQ(message(R"("files":"a.jsonl")"), "a.jsonl:2" + nul);
  write("a.jsonl", std::string("\xFF\xFE{\0}\0\n\0", 8));
  EXPECT_EQ(message(R"("files":"a.jsonl")"),
            "a.jsonl: is UTF-16 (convert it: iconv -f UTF-16 -t UTF-8)");
}

TEST_F(Malformed, LinesEndAsOnWindows) {
  write("a.jsonl", "\xEF\xBB\xBF{\"q\":\"a\\r\\nb\"}\r\n\r\n{\"q\":\"c\"}\r\n");
  const Split split =
      load_split(spec_from(R"({"files":"a.jsonl","splits":{"test":{"rows":2}}})"), root(), "test");
  ASSERT_EQ(split.documents.size(), 2u);
  EXPECT_EQ(split.documents[1].text("q"), "c");
  EXPECT_EQ(split.warnings, std::vector<std::string>{});
  write("a.jsonl", "{\"q\":\"a\"}\r\n{\"q\":\r\n");
  EXPECT_EQ(message(R"("files":"a.jsonl")"), "a.jsonl:2: not valid JSON: Invalid value. at column 6");
}

// Row positions are the documents' identities, so that two equal rows stay two documents; where
// the number of rows is not the official one, it is said that they are there.
TEST_F(Malformed, RepeatedRows) {
  const auto warnings = [&](const std::string& rows) {
    return load_split(spec_from(R"({"files":"a.jsonl","splits":{"test":{)" + rows + "}}}"), root(), "test")
        .warnings;
  };
  using List = std::vector<std::string>;
  write("a.jsonl", "{\"q\":1}\n{\"q\":2}\n{\"q\":1}\n");
  EXPECT_EQ(warnings(""), List{"toy test: 1 row repeats an earlier one (toy:test:2 is toy:test:0)"});
  EXPECT_EQ(warnings(R"("rows":2)"),
            (List{"toy test: 1 row repeats an earlier one (toy:test:2 is toy:test:0)",
                  "toy test: 3 rows, expected 2"}));
  EXPECT_EQ(warnings(R"("rows":3)"), List{});
  write("a.jsonl", "{\"q\":1}\n{\"q\":2}\n{\"q\":1}\n{\"q\":2}\n");
  EXPECT_EQ(warnings(""), List{"toy test: 2 rows repeat an earlier one (toy:test:2 is toy:test:0, ...)"});
}

TEST(Specification, MistakesInTaskFilesAreNamed) {
  const auto message = [](const std::string& text) { return message_of([&] { spec_from(text); }); };
  EXPECT_EQ(message(R"({"splits":{"test":{"file":"x"}}})"),
            "toy.json: splits.test.file: unknown key (did you mean \"files\"?)");
  EXPECT_EQ(message(R"({"splits":{"test":{}}})"), "toy.json: splits.test: has no \"files\"");
  EXPECT_EQ(message(R"({"format":"xml","splits":{"test":{"files":"x"}}})"),
            "toy.json: format: unknown format \"xml\"");
  EXPECT_EQ(message(R"({"fields":{"answer":{"leter":"x"}},"splits":{"test":{"files":"x"}}})"),
            "toy.json: fields.answer.leter: unknown rule \"leter\"");
  EXPECT_EQ(
      message(R"({"splits":{"test":{"files":"x"}},"origin":{"files":[{"url":"u","to":"../x"}]}})"),
      "toy.json: origin.files[0].to: must lie below the data root");
}

TEST(Specification, DigestIgnoresOriginOnly) {
  const auto digest = [](const std::string& text) { return spec_from(text).digest(); };
  const std::string plain = digest(R"({"files":"x","splits":{"test":{}}})");
  EXPECT_EQ(digest(R"({"splits":{"test":{}},"files":"x","origin":{"licence":"MIT"}})"), plain);
  EXPECT_NE(digest(R"({"files":"y","splits":{"test":{}}})"), plain);
}

TEST(Csv, DelimiterIsTheOneThatCutsTheHeaderMost) {
  EXPECT_EQ(detect_delimiter("a,b,c\n"), ',');
  EXPECT_EQ(detect_delimiter("a;b;c,d\n"), ';');
  EXPECT_EQ(detect_delimiter("a\tb\n"), '\t');
  EXPECT_EQ(detect_delimiter("\"a;b;c\",d\n"), ',');
}

TEST(Csv, WithoutQuotingAQuoteIsText) {
  const auto rows = parse_csv("\"a\tb\"\n", {'\t', false}, "x");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].cells, (std::vector<std::string>{"\"a", "b\""}));
}

}  // namespace
}  // namespace assay::datasets
