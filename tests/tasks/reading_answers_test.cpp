// Graders of the reading tasks against values worked out by the authors' definitions.
#include <gtest/gtest.h>

#include "tasks/answers/agieval.h"
#include "tasks/answers/cmrc.h"
#include "tasks/answers/drop.h"
#include "tasks/answers/hendrycks.h"
#include "tasks/answers/latex.h"

namespace assay::tasks::answers {
namespace {

TEST(Drop, NormalForm) {
  // drop_eval.py's own docstring examples and CPython's str(float(x)).
  EXPECT_EQ(drop_normal_form("The 4 Horse-men"), "4.0 horse men");
  EXPECT_EQ(drop_normal_form("1,000"), "1000.0");
  EXPECT_EQ(drop_normal_form("$5.50"), "550.0");
  EXPECT_EQ(drop_normal_form("5.50"), "5.5");
  EXPECT_EQ(drop_normal_form("-3"), "3.0");  // the hyphen separates
  EXPECT_EQ(drop_normal_form("a an the"), "");
  EXPECT_EQ(drop_normal_form("U.S.'s"), "uss");
  EXPECT_EQ(drop_normal_form("1e3"), "1000.0");
  EXPECT_EQ(drop_normal_form("10000000000000000"), "1e+16");
  EXPECT_EQ(drop_normal_form("0.00001"), "1e-05");
  EXPECT_EQ(drop_normal_form("inf nan"), "inf nan");
  EXPECT_EQ(drop_normal_form("1_000"), "1000.0");
  // float() reads the digits of every script: float("１２.５"), float("٣").
  EXPECT_EQ(drop_normal_form("１２.５ ٣"), "12.5 3.0");
  // Words too long for a short string's own storage.
  EXPECT_EQ(drop_normal_form("the counterrevolutionaries’ antidisestablishmentarianism"),
            "counterrevolutionaries’ antidisestablishmentarianism");
  EXPECT_EQ(drop_normal_form("İzmir"), "i\u0307zmir");  // "İ".lower() is two code points
}

TEST(Drop, Numbers) {
  for (const char* text : {"4", "+4", ".5", "5.", "1e5", " 7 ", "1_0", "Infinity", "-nan"}) {
    EXPECT_TRUE(is_python_float(text)) << text;
  }
  for (const char* text : {"", "4th", "1__0", "_1", "0x10", "1,000", "e5", "--4", "infin"}) {
    EXPECT_FALSE(is_python_float(text)) << text;
  }
}

TEST(Drop, ExactMatchAndF1) {
  EXPECT_EQ(drop_em("4", {R"(["4"])"}), 1);
  EXPECT_EQ(drop_em("4.0", {R"(["4"])"}), 1);
  EXPECT_EQ(drop_f1("the Raiders", {R"(["Raiders"])"}), 1);
  // One of two gold spans: aligned 1, divided by two spans.
  EXPECT_EQ(drop_f1("Raiders", {R"(["Raiders","Texans"])"}), 0.5);
  EXPECT_EQ(drop_em("Raiders", {R"(["Raiders","Texans"])"}), 0);
  // A gold number that is not predicted: 0, whatever words agree.
  EXPECT_EQ(drop_f1("3 yards", {R"(["4 yards"])"}), 0);
  EXPECT_EQ(drop_f1("4 yards", {R"(["4"])"}), 0.67);  // p 1/2, r 1, 2/3 rounded
  // Each metric takes its own best of several gold answers.
  EXPECT_EQ(drop_f1("May 2010", {R"(["June 2011"])", R"(["2010"])"}), 0.67);
  // Bags are sets.
  EXPECT_EQ(drop_f1("no no no", {R"(["no"])"}), 1);
}

TEST(Cmrc, NormalFormKeepsWhatTheOfficialListLacks) {
  EXPECT_EQ(n_zh("  《战国无双3》。"), "战国无双3");
  EXPECT_EQ(n_zh("A,B(c)…‘d"), "a,b(c)…‘d");
  EXPECT_EQ(n_zh("1：2-3_4+5=6"), "123456");
  EXPECT_EQ(cmrc_em("“北京”", {"上海", "北京。"}), 1);
  EXPECT_EQ(cmrc_em("北京市", {"北京"}), 0);
}

TEST(Cmrc, F1OfTheLongestCommonRun) {
  EXPECT_DOUBLE_EQ(cmrc_f1("北京市", {"北京"}), 0.8);        // p 2/3, r 1
  EXPECT_DOUBLE_EQ(cmrc_f1("在1992年", {"1992年"}), 0.8);    // 1992 is one segment
  EXPECT_DOUBLE_EQ(cmrc_f1("甲乙丙丁", {"丙丁甲乙"}), 0.5);  // contiguous, not a subsequence
  EXPECT_EQ(cmrc_f1("上海", {"北京"}), 0);
  EXPECT_EQ(cmrc_f1("", {"北京"}), 0);
}

TEST(Hendrycks, PairsOfThePublishedRules) {
  const std::pair<const char*, const char*> kEqual[] = {{"\\tfrac{1}{2}", "\\frac12"},
                                                        {"\\dfrac{1}{2}", "0.5"},
                                                        {"1/2", "\\frac{1}{2}"},
                                                        {"\\frac1{72}", "\\frac{1}{72}"},
                                                        {"x=5", "5"},
                                                        {"\\sqrt3", "\\sqrt{3}"},
                                                        {".5", "0.5"},
                                                        {"\\left(1, 2\\right)", "(1,2)"},
                                                        {"90^\\circ", "90"},
                                                        {"50\\%", "50"},
                                                        {"\\$12", "12"},
                                                        {"12\\text{ cm}", "12"},
                                                        {"1\\!000", "1000"},
                                                        {"a\nb", "ab"},
                                                        {"\\frac ab", "\\frac{a}{b}"},
                                                        {"-1/3", "\\frac{-1}{3}"},
                                                        {"{.5}", "{0.5}"}};
  for (const auto& [a, b] : kEqual) EXPECT_TRUE(hendrycks_equal(a, b)) << a << " " << b;
  const std::pair<const char*, const char*> kDifferent[] = {
      {"0.50", "\\frac{1}{2}"}, {"abc=5", "5"},     {"2/4", "1/2"}, {"01/2", "\\frac{1}{2}"},
      {"1,000", "1000"},        {"(1,2)", "[1,2]"}, {"x=y=5", "5"}, {"12 cm", "12"}};
  for (const auto& [a, b] : kDifferent) EXPECT_FALSE(hendrycks_equal(a, b)) << a << " " << b;
  // Where the authors' script raises, the texts themselves are compared.
  EXPECT_FALSE(hendrycks_normal_form("1\\text{ a}\\text{ b}").has_value());
  EXPECT_TRUE(hendrycks_equal("\\sqrt", "\\sqrt"));
  EXPECT_FALSE(hendrycks_equal("\\sqrt", "\\sqrt "));
}

class AgiEval : public testing::Test {
 protected:
  std::string extract(const std::string& kind, const std::string& text) {
    Fields fields;
    fields.set("kind", kind);
    return extract_agieval(text, fields).value_or("none");
  }
};

TEST_F(AgiEval, Extraction) {
  EXPECT_EQ(extract("single", " (B)."), "B");
  EXPECT_EQ(extract("single", "G或H"), "none");
  EXPECT_EQ(extract("multi", "D、A和D"), "AD");
  EXPECT_EQ(extract("cloze", "so \\boxed{\\frac{1}{2}} and \\boxed{x_{1}}"), "x_{1}");
  EXPECT_EQ(extract("cloze", " is $\\pi$ or $e$"), "\\pi");
  EXPECT_EQ(extract("cloze", " 12。\nmore"), "12");
  EXPECT_EQ(extract("cloze", " \n"), "none");
}

TEST_F(AgiEval, MathParser) {
  // post_process.py of the authors, by hand: boxed, dollars, equals sign, last number.
  EXPECT_EQ(parse_math_answer("\\boxed{7}"), "7");
  EXPECT_EQ(parse_math_answer("$x=3$ then $y = 4$"), "4");  // first $ to last $ of the line
  EXPECT_EQ(parse_math_answer("so x = 5."), "5");
  EXPECT_EQ(parse_math_answer("about 12 or 13.5 apples"), "13.5");
  EXPECT_EQ(parse_math_answer("5个 or 7"), "7");
  EXPECT_EQ(parse_math_answer("12a"), std::nullopt);
  EXPECT_EQ(parse_math_answer("1.5a"), "1");
  EXPECT_EQ(score_agieval_math("$\\frac12$", {"0.5"}), 1);
  EXPECT_EQ(score_agieval_math("$\\frac12$", {"\\frac{1}{2}"}), 0)
      << "the bare fraction parses to 2";
  EXPECT_EQ(score_agieval_math("none", {"B, C"}), 1) << "lm-eval: two texts without an answer";
}

// One pass whatever a model writes: a quadratic rule takes minutes for these, not a fraction of a
// second.
TEST(Linear, MegabytesOfOneThing) {
  for (const char* unit :
       {"\\boxed{", "\\boxed{1", "\\fbox", "\\!", "\\left", "\\%", "{", "\\frac", " "}) {
    std::string text;
    while (text.size() < (4u << 20)) text += unit;
    EXPECT_FALSE(last_boxed(text).has_value()) << unit;
    hendrycks_normal_form(text);
    minerva_form(text);
  }
}

}  // namespace
}  // namespace assay::tasks::answers
