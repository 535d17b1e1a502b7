#include "base/utf8.h"

#include <gtest/gtest.h>

namespace assay::utf8 {
namespace {

TEST(Utf8, RejectsWhatTheStandardRejects) {
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xFF"}) {
    EXPECT_FALSE(is_valid(bad)) << bad;
  }
  EXPECT_TRUE(is_valid("caf\u00e9 \u4e2d\u6587 \U0001F600"));
  EXPECT_EQ(first_invalid("ab\xFFz"), 2u);
}

TEST(Utf8, LengthCountsCodePoints) {
  EXPECT_EQ(length("\u4e2d\u6587"), 2u);
  EXPECT_EQ(length(""), 0u);
  EXPECT_EQ(length("a\xFFz"), 3u);
}

TEST(Utf8, StripRemovesUnicodeSpace) {
  EXPECT_EQ(strip("\u3000 a\u00a0b \n\u2003"), "a\u00a0b");
  EXPECT_EQ(strip(" \n "), "");
  EXPECT_EQ(strip_left("\u200b x"), "\u200b x");  // zero width space is not White_Space
}

TEST(Utf8, NewlinesAndBom) {
  EXPECT_EQ(normalized_newlines("\xEF\xBB\xBF" "a\r\nb\rc\n"), "a\nb\nc\n");
}

TEST(Utf8, PrintableHasNoControls) {
  EXPECT_EQ(printable("a\x1b[0m\n\u202e\xFF"), "a\\x1b[0m\\n\\u{202e}\\xff");
}

TEST(Utf8, DisplayWidth) {
  EXPECT_EQ(display_width("ab\u4e2d"), 4u);
  EXPECT_EQ(display_width("e\u0301"), 1u);
}

}  // namespace
}  // namespace assay::utf8
