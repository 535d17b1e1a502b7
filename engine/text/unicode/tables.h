// Row types of the generated *_data.inc.
#pragma once

#include <cstdint>

namespace assay::engine::unicode {

struct CategoryStart {
  uint32_t first;
  uint8_t category;
};
struct PointRange {
  uint32_t first, last;
};
struct CombiningRange {
  uint32_t first, last;
  uint8_t combining_class;
};
struct Decomposition {
  uint32_t composed, first, second;  // second: 0 where the mapping is one code point
  uint8_t composes;                  // whether first + second compose again under NFC
};

}  // namespace assay::engine::unicode
