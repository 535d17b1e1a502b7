// The only parser that sees bytes from the sandbox, and the record writer, against random and
// hostile bytes. Run under the asan-ubsan preset these are the fuzz tests of the room.
#include "sandbox/frames.h"

#include "base/random.h"
#include "base/utf8.h"
#include "sandbox/verdict.h"
#include "tests/sandbox/support.h"

namespace assay::sandbox {
namespace {

std::string random_bytes(Random& random, size_t size) {
  std::string bytes(size, 0);
  // Mostly bytes that mean something: tags, small lengths, markers, quotes, UTF-8 pieces.
  using std::string_view_literals::operator""sv;  // (counts the zeros too)
  static constexpr std::string_view kLikely =
      "RFEVJ\0\0\0\1\4\5\x10\xff\"\\\n\r\t\x7f\xc3\xa9\xed\xa0\x80\xe2\x80\xae\xf0\x9f"sv;
  for (char& byte : bytes) {
    byte = random.below(2) ? kLikely[random.below(kLikely.size())]
                           : static_cast<char>(random.below(256));
  }
  return bytes;
}

TEST(Frames, RoundTripInAnyPieces) {
  Random random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Frame> sent;
    std::string stream;
    for (uint64_t i = random.below(6); i > 0; --i) {
      sent.push_back(
          {static_cast<char>('A' + random.below(26)), random_bytes(random, random.below(300))});
      stream += make_frame(sent.back().tag, sent.back().payload);
    }
    FrameReader reader(300, 1 << 20);
    size_t received = 0;
    for (size_t at = 0; at < stream.size();) {
      const size_t size = std::min<size_t>(1 + random.below(40), stream.size() - at);
      reader.feed(std::string_view(stream).substr(at, size));
      at += size;
      while (const auto frame = reader.next()) {
        ASSERT_LT(received, sent.size());
        EXPECT_EQ(frame->tag, sent[received].tag);
        EXPECT_EQ(frame->payload, sent[received].payload);
        ++received;
      }
    }
    EXPECT_EQ(received, sent.size());
    EXPECT_FALSE(reader.broken());
  }
}

TEST(Frames, AnyBytesAreBounded) {
  Random random(2);
  size_t broken = 0;
  for (int round = 0; round < 3000; ++round) {
    FrameReader reader(64, 4096);
    for (int i = 0; i < 20; ++i) {
      reader.feed(random_bytes(random, random.below(300)));
      while (const auto frame = reader.next()) {
        ASSERT_LE(frame->payload.size(), 64u);
        for (size_t count = 0; count < 6; ++count) (void)unpack_fields(frame->payload, count);
      }
    }
    broken += reader.broken();
    if (reader.broken()) {
      EXPECT_FALSE(reader.next());
    }
  }
  EXPECT_GT(broken, 0u);
}

TEST(Frames, LimitsAreExact) {
  FrameReader exact(10, 15);
  exact.feed(make_frame('V', std::string(10, 'x')));
  EXPECT_TRUE(exact.next());
  exact.feed("x");  // one byte more than the stream may hold
  EXPECT_TRUE(exact.broken());
  FrameReader large(10, 1 << 20);
  large.feed(make_frame('V', std::string(11, 'x')));
  EXPECT_FALSE(large.next());
  EXPECT_TRUE(large.broken());
}

TEST(Frames, FieldsMustFitExactly) {
  const std::string good = pack_fields({"a", "", "ccc"});
  EXPECT_EQ(*unpack_fields(good, 3), (std::vector<std::string>{"a", "", "ccc"}));
  EXPECT_FALSE(unpack_fields(good, 2));
  EXPECT_FALSE(unpack_fields(good + "x", 3));
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(unpack_fields(std::string_view(good).substr(0, size), 3)) << size;
  }
  Random random(3);
  for (int round = 0; round < 50000; ++round) {
    std::string bytes = random.below(2) ? good : random_bytes(random, random.below(64));
    if (!bytes.empty()) bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    const auto fields = unpack_fields(bytes, 3);
    if (fields) {
      EXPECT_EQ(pack_fields({(*fields)[0], (*fields)[1], (*fields)[2]}), bytes);
    }
  }
}

TEST(Record, IsBoundedValidJsonWhateverThePrograms) {
  Random random(4);
  for (int round = 0; round < 400; ++round) {
    const auto text = [&] {
      const size_t size = random.below(3) == 0 ? random.below(30000) : random.below(6000);
      if (random.below(4) == 0) return std::string(size, "\"\\\n\x01\xff"[random.below(5)]);
      return random_bytes(random, size);
    };
    Verdict verdict;
    verdict.outcome = static_cast<Outcome>(random.below(5));
    verdict.reason = text();
    verdict.detail = text();
    verdict.stdout_text = round % 2 ? text() : excerpt(text());
    verdict.stderr_text = text();
    for (uint64_t i = random.below(8); i > 0; --i) {
      verdict.attempts.push_back({Outcome::fail, text(), 1, 2, false});
    }
    const std::string record = verdict.json();
    ASSERT_LE(record.size(), kMaxRecordBytes);
    ASSERT_TRUE(utf8::is_valid(record));
    ASSERT_EQ(record.find('\n'), std::string::npos);
    ASSERT_NO_THROW(json::Document::parse(record, "record"));
  }
}

TEST(Record, ExcerptKeepsBothEndsAndEscapes) {
  EXPECT_EQ(excerpt("a\nb\t\xc3\xa9"), "a\nb\t\xc3\xa9");
  EXPECT_EQ(excerpt(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(excerpt("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate as UTF-8 bytes
  const std::string cut = excerpt("begin" + std::string(100000, 'x') + "end");
  EXPECT_EQ(cut.substr(0, 5), "begin");
  EXPECT_EQ(cut.substr(cut.size() - 3), "end");
  EXPECT_LE(cut.size(), 4096u + 64);
  EXPECT_EQ(excerpt(cut), cut);
}

}  // namespace
}  // namespace assay::sandbox
