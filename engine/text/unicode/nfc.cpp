#include "engine/text/unicode/nfc.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "base/utf8.h"
#include "engine/text/unicode/properties.h"
#include "engine/text/unicode/tables.h"

namespace assay::engine::unicode {

namespace {

#include "engine/text/unicode/normalization_data.inc"

// Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12).
constexpr uint32_t kSBase = 0xAC00, kLBase = 0x1100, kVBase = 0x1161, kTBase = 0x11A7;
constexpr uint32_t kLCount = 19, kVCount = 21, kTCount = 28, kSCount = kLCount * kVCount * kTCount;

// What the quick check asks, one byte a code point: the combining class, or kUnstable for a class 0
// code point that NFC may change or that may join with what stands before it.
constexpr uint8_t kUnstable = 255;  // classes end at 240

struct Tables {
  std::vector<uint8_t> quick = std::vector<uint8_t>(kCodePoints);
  std::unordered_map<uint32_t, const Decomposition*> decompositions;
  std::unordered_map<uint64_t, uint32_t> compositions;

  Tables() {
    for (const Decomposition& d : kDecompositions) {
      decompositions.emplace(d.composed, &d);
      if (d.composes) {
        compositions.emplace(uint64_t{d.first} << 32 | d.second, d.composed);
        quick[d.second] = kUnstable;
      } else {
        quick[d.composed] = kUnstable;
      }
    }
    for (uint32_t c = kVBase; c < kVBase + kVCount; ++c) quick[c] = kUnstable;
    for (uint32_t c = kTBase + 1; c < kTBase + kTCount; ++c) quick[c] = kUnstable;
    for (const CombiningRange& range : kCombining) {
      for (uint32_t c = range.first; c <= range.last; ++c) quick[c] = range.combining_class;
    }
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

uint8_t combining_class(const Tables& t, uint32_t c) {
  return t.quick[c] == kUnstable ? 0 : t.quick[c];
}

using Points = std::vector<uint32_t>;

void decompose(const Tables& t, uint32_t c, Points& out) {
  if (c >= kSBase && c < kSBase + kSCount) {
    const uint32_t s = c - kSBase;
    out.push_back(kLBase + s / (kVCount * kTCount));
    out.push_back(kVBase + s % (kVCount * kTCount) / kTCount);
    if (s % kTCount != 0) out.push_back(kTBase + s % kTCount);
    return;
  }
  const auto found = t.decompositions.find(c);
  if (found == t.decompositions.end()) {
    out.push_back(c);
    return;
  }
  decompose(t, found->second->first, out);
  if (found->second->second != 0) decompose(t, found->second->second, out);
}

// The primary composite of a + b, or 0.
uint32_t compose(const Tables& t, uint32_t a, uint32_t b) {
  if (a >= kLBase && a < kLBase + kLCount && b >= kVBase && b < kVBase + kVCount) {
    return kSBase + ((a - kLBase) * kVCount + (b - kVBase)) * kTCount;
  }
  if (a >= kSBase && a < kSBase + kSCount && (a - kSBase) % kTCount == 0 && b > kTBase &&
      b < kTBase + kTCount) {
    return a + (b - kTBase);
  }
  const auto found = t.compositions.find(uint64_t{a} << 32 | b);
  return found == t.compositions.end() ? 0 : found->second;
}

// Canonical ordering: runs of class > 0 are sorted by class, stably.
void reorder(const Tables& t, Points& points) {
  for (size_t i = 0; i < points.size();) {
    if (combining_class(t, points[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < points.size() && combining_class(t, points[end]) != 0) ++end;
    std::stable_sort(
        points.begin() + static_cast<std::ptrdiff_t>(i),
        points.begin() + static_cast<std::ptrdiff_t>(end),
        [&](uint32_t a, uint32_t b) { return combining_class(t, a) < combining_class(t, b); });
    i = end;
  }
}

void compose_all(const Tables& t, Points& points) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t starter = kNone, write = 0;
  int last_class = 0;  // of the last code point kept since the starter; 0: it is the starter itself
  for (size_t read = 0; read < points.size(); ++read) {
    const uint32_t c = points[read];
    const int cls = combining_class(t, c);
    // c is blocked from the starter by an equal or higher class between them, or by a starter.
    const bool adjacent = starter != kNone && write == starter + 1;
    if (starter != kNone && (adjacent || (last_class < cls && last_class != 0))) {
      if (const uint32_t composed = compose(t, points[starter], c)) {
        points[starter] = composed;
        continue;
      }
    }
    if (cls == 0) starter = write;
    last_class = cls;
    points[write++] = c;
  }
  points.resize(write);
}

// NFC of one stretch: it begins at a starter that does not join with what stands before it.
void append_stretch(const Tables& t, std::string_view stretch, Points& points, std::string& out) {
  points.clear();
  for (const char *p = stretch.data(), *end = p + stretch.size(); p < end;) {
    decompose(t, next_code_point(p), points);
  }
  reorder(t, points);
  compose_all(t, points);
  for (const uint32_t c : points) utf8::append(out, c);
}

}  // namespace

bool is_nfc_quick(std::string_view text) {
  const uint8_t* quick = tables().quick.data();
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    // Nothing below U+0300 (lead byte 0xCC) changes.
    if (static_cast<uint8_t>(*p) < 0xCC) {
      ++p;
    } else if (quick[next_code_point(p)] != 0) {
      return false;
    }
  }
  return true;
}

void append_nfc(std::string_view text, std::string& out, std::vector<size_t>* ends, size_t base) {
  const Tables& t = tables();
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto map_bytes = [&](const char* to, bool changed) {
    if (ends == nullptr) return;
    const size_t last = base + static_cast<size_t>(to - begin);
    // Copied bytes end where they stand; a changed stretch ends as a whole.
    const size_t missing = out.size() - ends->size();
    for (size_t i = missing; i-- > 0;) ends->push_back(changed ? last : last - i);
  };
  Points points;
  const char* p = begin;
  const char* copied = begin;   // [begin, copied) is in `out`
  const char* starter = begin;  // the last stable starter at or after `copied`
  while (p < end) {
    const char* const here = p;
    const uint32_t c = next_code_point(p);
    if (t.quick[c] == 0) {
      starter = here;
      continue;
    }
    // From the last stable starter up to the next one.
    while (p < end) {
      const char* next = p;
      if (t.quick[next_code_point(next)] == 0) break;
      p = next;
    }
    out.append(copied, starter);
    map_bytes(starter, false);
    append_stretch(t, {starter, static_cast<size_t>(p - starter)}, points, out);
    map_bytes(p, true);
    copied = starter = p;
  }
  out.append(copied, end);
  map_bytes(end, false);
}

}  // namespace assay::engine::unicode
