// Unicode properties of code points that pre-tokenisation asks for, from one flat table.
//
// Versions follow the `tokenizers` library (generate_tables.py says which). The table (1.1 MB) is
// expanded from ranges at first use; afterwards every query is one load. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace assay::engine::unicode {

inline constexpr uint32_t kCodePoints = 0x110000;

// General_Category in the order of the generated table.
enum Category : uint8_t {
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCs,
  kCo,
  kCn,
};

// A set of categories, one bit each.
using CategoryMask = uint32_t;
constexpr CategoryMask mask_of(Category first, Category last) {
  CategoryMask mask = 0;
  for (int c = first; c <= last; ++c) mask |= CategoryMask{1} << c;
  return mask;
}
inline constexpr CategoryMask kLetter = mask_of(kLu, kLo), kMark = mask_of(kMn, kMe),
                              kNumber = mask_of(kNd, kNo), kPunctuation = mask_of(kPc, kPo),
                              kSymbol = mask_of(kSm, kSo), kSeparator = mask_of(kZs, kZp),
                              kOther = mask_of(kCc, kCn);

// The mask of "L", "Lu", "P", ...; 0 for a name that is none of these.
CategoryMask category_mask(std::string_view name);

// One byte a code point: the category in the low five bits, and two flags.
inline constexpr uint8_t kCategoryBits = 0x1F;
inline constexpr uint8_t kNumericFlag = 0x40;  // what the Digits splitter takes for a digit
inline constexpr uint8_t kSpaceFlag = 0x80;    // White_Space: what \s matches
const uint8_t* properties();                   // [kCodePoints]

inline bool in_mask(uint8_t property, CategoryMask mask) {
  return (mask >> (property & kCategoryBits)) & 1;
}

// The code point at `p`, advancing `p`. The text must be well-formed UTF-8.
inline uint32_t next_code_point(const char*& p) {
  const auto b = [&](int i) { return static_cast<uint8_t>(p[i]); };
  const uint32_t lead = b(0);
  if (lead < 0x80) {
    p += 1;
    return lead;
  }
  if (lead < 0xE0) {
    const uint32_t c = (lead & 0x1F) << 6 | (b(1) & 0x3F);
    p += 2;
    return c;
  }
  if (lead < 0xF0) {
    const uint32_t c = (lead & 0x0F) << 12 | (b(1) & 0x3Fu) << 6 | (b(2) & 0x3F);
    p += 3;
    return c;
  }
  const uint32_t c =
      (lead & 0x07) << 18 | (b(1) & 0x3Fu) << 12 | (b(2) & 0x3Fu) << 6 | (b(3) & 0x3F);
  p += 4;
  return c;
}

}  // namespace assay::engine::unicode
