// Unicode tables and NFC. Expected values: UAX #15 and its examples, The Unicode Standard, and the
// notes on versions in ../shared/tokenizers/README.md.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "base/utf8.h"
#include "engine/text/unicode/nfc.h"
#include "engine/text/unicode/properties.h"
#include "tests/engine/text/random_text.h"

namespace assay::engine::unicode {
namespace {

std::string nfc(std::string_view text) {
  std::string out;
  append_nfc(text, out);
  return out;
}

TEST(Unicode, Categories) {
  const uint8_t* p = properties();
  EXPECT_TRUE(in_mask(p['a'], kLetter));
  EXPECT_TRUE(in_mask(p[0x4E00], category_mask("Lo")));
  EXPECT_TRUE(in_mask(p[0x9FFF], kLetter));
  EXPECT_TRUE(in_mask(p[0x301], category_mask("Mn")));
  EXPECT_TRUE(in_mask(p['$'], category_mask("Sc")));
  EXPECT_TRUE(in_mask(p['_'], category_mask("Pc")));
  EXPECT_TRUE(in_mask(p[0x378], category_mask("Cn")));
  EXPECT_TRUE(in_mask(p[0x10FFFF], category_mask("C")));
  EXPECT_EQ(category_mask("X"), 0u);
  EXPECT_EQ(category_mask("Letter"), 0u);
  // 1924 code points are digits to the Digits splitter, 13 more than \p{N}.
  size_t numbers = 0, numeric = 0, spaces = 0;
  for (uint32_t c = 0; c < kCodePoints; ++c) {
    numbers += in_mask(p[c], kNumber);
    numeric += (p[c] & kNumericFlag) != 0;
    spaces += (p[c] & kSpaceFlag) != 0;
  }
  EXPECT_EQ(numeric, 1924u);
  EXPECT_EQ(numbers, 1911u);
  EXPECT_EQ(spaces, 25u);
}

TEST(Nfc, Examples) {
  EXPECT_EQ(nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(nfc("\u212b"), "\u00c5");              // singleton
  EXPECT_EQ(nfc("\u1e9b\u0323"), "\u1e9b\u0323");  // UAX #15, figure 6
  EXPECT_EQ(nfc("\u017f\u0323\u0307"), "\u1e9b\u0323");
  EXPECT_EQ(nfc("a\u0323\u0302"), "\u1ead");       // two steps
  EXPECT_EQ(nfc("a\u0302\u0323"), "\u1ead");       // reordered first
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093c");        // composition exclusion
  EXPECT_EQ(nfc("\u0344"), "\u0308\u0301");        // non-starter decomposition
  EXPECT_EQ(nfc("\u1112\u1161\u11ab"), "\ud55c");  // Hangul
  EXPECT_EQ(nfc("\ud558\u11ab"), "\ud55c");
  EXPECT_EQ(nfc("\ud55c\u11ab"), "\ud55c\u11ab");  // already has a trailing consonant
  EXPECT_EQ(nfc("a\u0315\u0300\u05ae\u0301b"), "\u00e0\u05ae\u0301\u0315b");
  EXPECT_EQ(nfc(">\u0338"), "\u226f");
  EXPECT_EQ(nfc("\u0338"), "\u0338");
  EXPECT_EQ(nfc("\U0001d15e"), "\U0001d157\U0001d165");
}

TEST(Nfc, TablesOfUnicode9) {
  // U+07FD (class 220 since Unicode 11) counts as a starter: nothing moves across it.
  EXPECT_EQ(nfc("a\u0301\u07fd"), "\u00e1\u07fd");
  EXPECT_EQ(nfc("a\u0315\u07fd\u0300"), "a\u0315\u07fd\u0300");
  EXPECT_EQ(nfc("\U00011935\U00011930"), "\U00011935\U00011930");
}

TEST(Nfc, QuickCheckAndIdempotence) {
  Random random(2);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random_text(random, 1 + random.below(12));
    const std::string once = nfc(text);
    EXPECT_EQ(nfc(once), once) << utf8::printable(text);
    if (is_nfc_quick(text)) {
      EXPECT_EQ(once, text) << utf8::printable(text);
    }
  }
}

TEST(Nfc, EndsAreThoseOfTheOriginal) {
  const std::string text = "ae\u0301z";
  std::string out;
  std::vector<size_t> ends;
  append_nfc(text, out, &ends);
  EXPECT_EQ(out, "a\u00e9z");
  EXPECT_EQ(ends, (std::vector<size_t>{1, 4, 4, 5}));
}

}  // namespace
}  // namespace assay::engine::unicode
