// Random valid UTF-8 that meets the corners of the tokenizers: white space of all kinds, digits,
// marks, apostrophes, CJK, unassigned code points, pieces of special tokens.
#pragma once

#include <iterator>
#include <string>

#include "base/random.h"
#include "base/utf8.h"

namespace assay::engine {

inline std::string random_text(Random& random, size_t parts) {
  static constexpr const char* kParts[] = {" ",          "  ",
                                           "\n",         "\r",
                                           "\r\n",       "\t",
                                           "\u3000",     "\u00a0",
                                           "\u0085",     "\u200b",
                                           "'s",         "'S",
                                           "'\u017f",    "'re",
                                           "'Ll",        "'",
                                           "a",          "B",
                                           "\u00e9",     "e\u0301",
                                           "\u0323",     "\u0301",
                                           "\ud55c",     "\u4f60",
                                           "\u597d",     "\u306e",
                                           "\u30fc",     "\u30fb",
                                           "1",          "23",
                                           "4567",       "\u0663",
                                           "\u00b2",     "\u2167",
                                           "!",          "...",
                                           "(",          "_",
                                           "-",          "\u300c",
                                           "\uff0c",     "\U0001f600",
                                           "\u200d",     "\x01",
                                           "\x1c",       "\ufeff",
                                           "word",       " the",
                                           " quick",     "\u0378",
                                           "\ue000",     "<|",
                                           "|>",         "<|im_start|>",
                                           "<think>",    "\u1ebf",
                                           "\u13f3",     "\u1112\u1161\u11ab",
                                           "\u0344",     "\u0fb9",
                                           "\U0001d15e", "\u07fd"};
  std::string text;
  for (size_t i = 0; i < parts; ++i) {
    if (random.below(8) != 0) {
      text += kParts[random.below(std::size(kParts))];
      continue;
    }
    constexpr uint32_t kLimits[] = {0x300, 0x3400, 0x10000, 0x20000, 0x110000};
    auto c = static_cast<char32_t>(random.below(kLimits[random.below(std::size(kLimits))]));
    if (c >= 0xD800 && c < 0xE000) c = 0x4E00;
    utf8::append(text, c);
  }
  return text;
}

}  // namespace assay::engine
