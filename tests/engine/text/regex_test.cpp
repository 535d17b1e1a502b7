// The expression engine against hand-worked matches; every expected value follows from Oniguruma's
// documentation (doc/RE) or from the notes in ../shared/tokenizers/README.md.
#include "engine/text/regex.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace assay::engine {
namespace {

// The matches of a search from left to right, joined by "|".
std::string matches(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "test");
  std::string found;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = regex.match_at(text, pos);
    const char* p = text.data() + pos;
    const bool may_begin = regex.may_begin_with(unicode::next_code_point(p));
    EXPECT_TRUE(may_begin || end == Regex::kNoMatch) << pattern << " in " << text;
    if (end == Regex::kNoMatch) {
      do ++pos;
      while (pos < text.size() && (static_cast<uint8_t>(text[pos]) & 0xC0) == 0x80);
      continue;
    }
    found += (found.empty() ? "" : "|") + text.substr(pos, end - pos);
    pos = end;
  }
  return found;
}

TEST(Regex, Basics) {
  EXPECT_EQ(matches("a", "banana"), "a|a|a");
  EXPECT_EQ(matches("an|ana", "banana"), "an|an");  // the first alternative, not the longest
  EXPECT_EQ(matches("[a-c]+", "xabcabx"), "abcab");
  EXPECT_EQ(matches("[^a-c]+", "abxyc"), "xy");
  EXPECT_EQ(matches("a{2}", "aaaaa"), "aa|aa");
  EXPECT_EQ(matches("a{1,3}", "aaaaa"), "aaa|aa");
  EXPECT_EQ(matches("a{2,}", "aaaaab a"), "aaaaa");
  EXPECT_EQ(matches("(?:ab)?c", "abcc"), "abc|c");
  EXPECT_EQ(matches("x(a|ab)c", "xabcxac"), "xabc|xac");  // backs into the second branch
  EXPECT_EQ(matches(".", "a\nb"), "a|b");
  EXPECT_EQ(matches(R"([\]\-x]+)", "]-x"), "]-x");
  EXPECT_EQ(matches(R"([a-]+)", "a-b"), "a-");
  EXPECT_EQ(matches(R"(\x41\u4e2d\x{1F600})", "A中😀"), "A中😀");
}

TEST(Regex, BackingOff) {
  EXPECT_EQ(matches("a*ab", "aaab"), "aaab");
  EXPECT_EQ(matches("a*+ab", "aaab"), "");
  EXPECT_EQ(matches("a?+ab", "aab"), "aab");
  EXPECT_EQ(matches("a?+ab", "ab"), "");
  EXPECT_EQ(matches(R"(\s*[\r\n]+)", "  \n \n  x"), "  \n \n");
}

TEST(Regex, WhiteSpaceBeforeWords) {
  EXPECT_EQ(matches(R"(\s+(?!\S)|\s+)", "a   b"), "  | ");
  EXPECT_EQ(matches(R"(\s+(?!\S)|\s+)", "a   "), "   ");
  EXPECT_EQ(matches(R"(\s+(?=b))", "a  b  c"), "  ");
  EXPECT_EQ(matches(R"(\s+$)", "a  b  "), "  ");
  EXPECT_EQ(matches(R"( +$)", "a  \nb "), "  | ");  // `$` is also before a newline
}

TEST(Regex, Unicode) {
  EXPECT_EQ(matches(R"(\p{L}+)", "añ中1б"), "añ中|б");
  EXPECT_EQ(matches(R"(\p{Lu})", "aBÇ"), "B|Ç");
  EXPECT_EQ(matches(R"(\P{L}+)", "a12b"), "12");
  EXPECT_EQ(matches(R"(\p{^L}+)", "a12b"), "12");
  EXPECT_EQ(matches(R"([^\s\p{L}]+)", "a1! b"), "1!");
  EXPECT_EQ(matches(R"(\p{N})", "1²Ⅷ٣"), "1|²|Ⅷ|٣");
  EXPECT_EQ(matches(R"(\d)", "1²٣"), "1|٣");
  EXPECT_EQ(matches(R"(\s)", "\u001c\u0085\u180e\u3000\ufeff"), "\u0085|\u3000");
  EXPECT_EQ(matches(R"((?i:'s|'LL))", "'s'S'ſ'll'lL"), "'s|'S|'ſ|'ll|'lL");
  EXPECT_EQ(matches("'s", "'S'ſ's"), "'s");
}

TEST(Regex, ReachIsWhatWasLookedAt) {
  const auto reach = [](const std::string& pattern, const std::string& text) {
    size_t reached = 0;
    Regex(pattern, "test").match_at(text, 0, &reached);
    return reached;
  };
  EXPECT_EQ(reach("ab", "abc"), 2u);
  EXPECT_EQ(reach("a+", "aab"), 3u);
  EXPECT_EQ(reach("a+", "aa"), 3u);  // saw the end
  EXPECT_EQ(reach("a中", "a中b"), 4u);
  EXPECT_EQ(reach(R"(\s+(?!\S))", "   b   "), 4u);
}

TEST(Regex, Literal) {
  const Regex regex = Regex::literal("a.b", "test");
  EXPECT_EQ(regex.match_at("a.b", 0), 3u);
  EXPECT_EQ(regex.match_at("axb", 0), Regex::kNoMatch);
}

TEST(Regex, LongRunsAreFast) {
  const std::string spaces(1 << 20, ' ');
  const Regex regex(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", "test");
  EXPECT_EQ(regex.match_at(spaces, 0), spaces.size());
}

}  // namespace
}  // namespace assay::engine
