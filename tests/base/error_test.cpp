#include "base/error.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(Error, OneLineWithPlaceAndRemedy) {
  const Error e(ErrorKind::bad_input, "is truncated", "model.safetensors", "copy it again");
  EXPECT_STREQ(e.what(), "model.safetensors: is truncated (copy it again)");
  EXPECT_EQ(e.exit_code(), 3);
}

TEST(Error, HostileTextIsEscaped) {
  const Error e(ErrorKind::usage, "no task \"\x1b[2J\n\"");
  EXPECT_STREQ(e.what(), "no task \"\\x1b[2J\\n\"");
}

TEST(NearestWord, SuggestsTyposOnly) {
  const std::string_view words[] = {"mmlu", "hellaswag", "gsm8k", "humaneval"};
  EXPECT_EQ(nearest_word("helaswag", words, 4), "hellaswag");
  EXPECT_EQ(nearest_word("gsm8", words, 4), "gsm8k");
  EXPECT_EQ(nearest_word("mlmu", words, 4), "mmlu");  // swapped letters are one mistake
  EXPECT_EQ(nearest_word("winogrande", words, 4), "");
}

}  // namespace
}  // namespace assay
