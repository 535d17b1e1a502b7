#include "engine/text/unicode/properties.h"

#include <cstring>
#include <iterator>
#include <vector>

#include "engine/text/unicode/tables.h"

namespace assay::engine::unicode {

namespace {

#include "engine/text/unicode/category_data.inc"

// White_Space, the same since Unicode 6.3.
constexpr PointRange kWhiteSpace[] = {
    {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
};

std::vector<uint8_t> expand() {
  std::vector<uint8_t> table(kCodePoints);
  for (size_t i = 0; i < std::size(kCategories); ++i) {
    const uint32_t last = i + 1 < std::size(kCategories) ? kCategories[i + 1].first : kCodePoints;
    const uint8_t category = kCategories[i].category;
    const bool numeric = (kNumber >> category) & 1;
    std::memset(table.data() + kCategories[i].first, category | (numeric ? kNumericFlag : 0),
                last - kCategories[i].first);
  }
  for (const PointRange& range : kNumericSince17) {
    for (uint32_t c = range.first; c <= range.last; ++c) table[c] |= kNumericFlag;
  }
  for (const PointRange& range : kWhiteSpace) {
    for (uint32_t c = range.first; c <= range.last; ++c) table[c] |= kSpaceFlag;
  }
  return table;
}

}  // namespace

const uint8_t* properties() {
  static const std::vector<uint8_t> table = expand();
  return table.data();
}

CategoryMask category_mask(std::string_view name) {
  constexpr std::string_view kNames =
      "LuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCsCoCn";
  CategoryMask mask = 0;
  for (size_t i = 0; i < kNames.size(); i += 2) {
    const bool whole = name == kNames.substr(i, 2);
    const bool group = name.size() == 1 && name[0] == kNames[i];
    if (whole || group) mask |= CategoryMask{1} << (i / 2);
  }
  return mask;
}

}  // namespace assay::engine::unicode
