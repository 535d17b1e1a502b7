#include "engine/text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/utf8.h"

namespace assay::engine {

namespace {

constexpr uint64_t kEmptyPair = ~uint64_t{0};
constexpr uint64_t kPairMask = (uint64_t{1} << (2 * kIdBits)) - 1;
static_assert(2 * kIdBits + kRankBits <= 64);

// Pieces up to this many bytes are merged in small arrays by scanning for the lowest rank; longer
// ones with a heap, which costs n log n however they are made.
constexpr size_t kScanLimit = 96;

constexpr uint64_t mix(uint64_t x) { return x * 0x9E3779B97F4A7C15u; }

uint64_t load64(const char* p) {
  uint64_t x;
  std::memcpy(&x, p, 8);
  return x;
}
uint32_t load32(const char* p) {
  uint32_t x;
  std::memcpy(&x, p, 4);
  return x;
}

uint64_t hash_long(std::string_view s) {
  uint64_t h = s.size();
  size_t i = 0;
  for (; i + 8 <= s.size(); i += 8) h = std::rotl(mix(h ^ load64(s.data() + i)), 29);
  uint64_t tail = 0;
  std::memcpy(&tail, s.data() + i, s.size() - i);
  h = mix(h ^ tail);
  return mix(h ^ (h >> 32));
}

uint64_t hash_short(uint64_t low, uint32_t high) {
  const uint64_t h = mix(low) ^ mix(uint64_t{high} << 17 | 1);
  return mix(h ^ (h >> 29));
}

// A table of at least `factor` slots an entry: its size as a shift of a 64-bit hash.
int table_shift(size_t entries, size_t factor) {
  return 64 - std::max(4, static_cast<int>(std::bit_width(entries * factor)));
}
size_t table_size(int shift) { return size_t{1} << (64 - shift); }

std::string quoted(std::string_view bytes) { return '"' + utf8::printable(bytes) + '"'; }

}  // namespace

Bpe::Bpe(const BpeSpec& spec, const std::string& where) : ignore_merges_(spec.ignore_merges) {
  texts_ = spec.texts;
  entries_ = spec.entries.size();
  if (spec.entries.empty()) throw_bad_input("the vocabulary is empty", where + ": model.vocab");
  if (spec.texts.size() > TokenTrie::kMaxBytes) {
    throw_bad_input(
        "the entries and merges take more than " + std::to_string(TokenTrie::kMaxBytes) + " bytes",
        where + ": model");
  }
  if (spec.merges.size() >= (size_t{1} << kRankBits)) {
    throw_bad_input("more than " + std::to_string((1 << kRankBits) - 1) + " merges",
                    where + ": model.merges");
  }
  TokenId highest = 0;
  size_t shorts = 0;
  for (const auto& entry : spec.entries) {
    highest = std::max(highest, entry.id);
    longest_ = std::max<size_t>(longest_, entry.size);
    shorts += entry.size <= kShort;
  }
  tokens_.resize(static_cast<size_t>(highest) + 1);
  short_shift_ = table_shift(shorts, 2);
  long_shift_ = table_shift(spec.entries.size() - shorts, 2);
  short_.resize(table_size(short_shift_));
  long_.resize(table_size(long_shift_));
  for (const auto& entry : spec.entries) {
    Span& token = tokens_[static_cast<size_t>(entry.id)];
    const std::string_view text(texts_.data() + entry.offset, entry.size);
    if (token.present) {
      throw_bad_input("entries " + quoted({texts_.data() + token.offset, token.size}) + " and " +
                          quoted(text) + " have the same id " + std::to_string(entry.id),
                      where + ": model.vocab");
    }
    token = {entry.offset, entry.size, true};
    if (entry.alphabet && entry.size > 0) add_piece(text, static_cast<uint32_t>(entry.id));
  }

  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_id_[static_cast<size_t>(byte)] = find_piece({&c, 1}, &c + 1);
    // These bytes never occur in UTF-8, and some vocabularies leave them out.
    const bool never = byte == 0xC0 || byte == 0xC1 || byte >= 0xF5;
    if (byte_id_[static_cast<size_t>(byte)] == kNone && !never) {
      throw_bad_input(
          "byte " + std::to_string(byte) + " has no entry, so text with it would be lost",
          where + ": model.vocab", "only byte-level vocabularies are supported");
    }
  }

  add_merges(spec, where);
  derive_entries();
}

void Bpe::add_merges(const BpeSpec& spec, const std::string& where) {
  pair_shift_ = table_shift(spec.merges.size(), 2);
  pairs_.assign(table_size(pair_shift_), kEmptyPair);
  merged_.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& merge = spec.merges[rank];
    const std::string_view both(texts_.data() + merge.offset,
                                size_t{merge.left_size} + merge.right_size);
    const std::string_view parts[] = {both.substr(0, merge.left_size), both.substr(merge.left_size),
                                      both};
    uint32_t ids[3];
    for (int i = 0; i < 3; ++i) {
      ids[i] = parts[i].empty() ? kNone : find_piece(parts[i], texts_.data() + texts_.size());
      if (ids[i] == kNone) {
        throw_bad_input("merge " + quoted(parts[0]) + " + " + quoted(parts[1]) + ": " +
                            quoted(parts[i]) + " is not in the vocabulary",
                        where + ": model.merges[" + std::to_string(rank) + "]");
      }
    }
    merged_.push_back({ids[0], ids[1], ids[2], false});
    const uint64_t key = uint64_t{ids[0]} << kIdBits | ids[1];
    const uint64_t packed = uint64_t{rank} << (2 * kIdBits) | key;
    size_t slot = mix(key) >> pair_shift_;
    // Of a pair that is listed twice the last one counts, as in the library.
    while (pairs_[slot] != kEmptyPair && (pairs_[slot] & kPairMask) != key) {
      slot = (slot + 1) & (pairs_.size() - 1);
    }
    pairs_[slot] = packed;
  }

  byte_pair_rank_.assign(256 * 256, kNone);
  for (uint32_t a = 0; a < 256; ++a) {
    for (uint32_t b = 0; b < 256; ++b) {
      if (byte_id_[a] == kNone || byte_id_[b] == kNone) continue;
      byte_pair_rank_[a << 8 | b] = rank_of(byte_id_[a], byte_id_[b]);
    }
  }
}

// Sweeps over the ranks: which merges are early, which entries stand alone, how they come about.
void Bpe::derive_entries() {
  derivations_.resize(tokens_.size());
  for (size_t id = 0; id < tokens_.size(); ++id) derivations_[id].size = tokens_[id].size;
  for (const uint32_t id : byte_id_) {
    if (id != kNone) derivations_[id].created = 0;
  }
  for (const Merge& merge : merged_) {
    derivations_[merge.left].right_partners |= partner_bit(merge.right);
    derivations_[merge.right].left_partners |= partner_bit(merge.left);
  }
  for (uint32_t rank = 0; rank < merged_.size(); ++rank) {
    Merge& merge = merged_[rank];
    // Of a pair that is listed twice only the last place counts.
    if (rank_of(merge.left, merge.right) != rank) continue;
    const Derivation& left = derivations_[merge.left];
    const Derivation& right = derivations_[merge.right];
    Derivation& derivation = derivations_[merge.merged];
    merge.early = left.created == kNone || right.created == kNone;
    if (merge.early || derivation.created != kNone) continue;
    if (meet(merge.left, merge.right, rank + 1) == Meeting::merge) continue;
    derivation.created = rank + 1;
    derivation.left = merge.left;
    derivation.right = merge.right;
  }
  std::vector<std::pair<std::string_view, uint32_t>> alone;
  for (uint32_t id = 0; id < tokens_.size(); ++id) {
    if (derivations_[id].created != kNone) alone.emplace_back(bytes(static_cast<TokenId>(id)), id);
  }
  find_untouched();
  trie_ = TokenTrie(std::move(alone), tokens_.size());
}

// Which entries stand alone in the standard process too: nothing early met inside them.
void Bpe::find_untouched() {
  for (uint32_t rank = 0; rank < merged_.size(); ++rank) {
    Derivation& derivation = derivations_[merged_[rank].merged];
    if (derivation.created != rank + 1) continue;
    derivation.touched = derivations_[derivation.left].touched ||
                         derivations_[derivation.right].touched ||
                         meet(derivation.left, derivation.right, rank + 1) == Meeting::early;
  }
}

bool Bpe::has(TokenId id) const {
  return id >= 0 && static_cast<size_t>(id) < tokens_.size() &&
         tokens_[static_cast<size_t>(id)].present;
}

std::string_view Bpe::bytes(TokenId id) const {
  if (!has(id)) return {};
  const Span& token = tokens_[static_cast<size_t>(id)];
  return {texts_.data() + token.offset, token.size};
}

std::optional<TokenId> Bpe::find_bytes(std::string_view bytes) const {
  if (bytes.empty()) return std::nullopt;
  const uint32_t id = find_piece(bytes, bytes.data() + bytes.size());
  if (id == kNone) return std::nullopt;
  return static_cast<TokenId>(id);
}

void Bpe::add_piece(std::string_view bytes, uint32_t id) {
  if (bytes.size() > kShort) {
    const uint64_t hash = hash_long(bytes);
    size_t slot = hash >> long_shift_;
    while (long_[slot].id != kNone) slot = (slot + 1) & (long_.size() - 1);
    long_[slot] = {hash, id};
    return;
  }
  char padded[12] = {};
  std::memcpy(padded, bytes.data(), bytes.size());
  const uint64_t low = load64(padded);
  const uint32_t high = load32(padded + 8) | static_cast<uint32_t>(bytes.size()) << 24;
  size_t slot = hash_short(low, high) >> short_shift_;
  while (short_[slot].id != kNone) slot = (slot + 1) & (short_.size() - 1);
  short_[slot] = {low, high, id};
}

inline uint32_t Bpe::find_short(uint64_t low, uint32_t high) const {
  size_t slot = hash_short(low, high) >> short_shift_;
  while (true) {
    const ShortSlot& entry = short_[slot];
    if ((entry.low == low && entry.high == high) || entry.id == kNone) return entry.id;
    slot = (slot + 1) & (short_.size() - 1);
  }
}

uint32_t Bpe::find_long(std::string_view piece) const {
  const uint64_t hash = hash_long(piece);
  for (size_t slot = hash >> long_shift_;; slot = (slot + 1) & (long_.size() - 1)) {
    const LongSlot& entry = long_[slot];
    if (entry.id == kNone) return kNone;
    if (entry.hash == hash && bytes(static_cast<TokenId>(entry.id)) == piece) return entry.id;
  }
}

inline uint32_t Bpe::find_piece(std::string_view piece, const char* limit) const {
  const size_t size = piece.size();
  if (size > kShort) return find_long(piece);
  const auto size_bits = static_cast<uint32_t>(size) << 24;
  if (limit - piece.data() >= 12) {
    // Reads past the piece, not past the text, and masks what does not belong to it.
    const uint64_t low = load64(piece.data());
    if (size <= 8) return find_short(low & (~uint64_t{0} >> (64 - 8 * size)), size_bits);
    return find_short(low, (load32(piece.data() + 8) & ((1u << (8 * (size - 8))) - 1)) | size_bits);
  }
  char padded[12] = {};
  std::memcpy(padded, piece.data(), size);
  return find_short(load64(padded), load32(padded + 8) | size_bits);
}

inline uint32_t Bpe::rank_of(uint32_t left, uint32_t right) const {
  const uint64_t key = uint64_t{left} << kIdBits | right;
  for (size_t slot = mix(key) >> pair_shift_;; slot = (slot + 1) & (pairs_.size() - 1)) {
    const uint64_t packed = pairs_[slot];
    if ((packed & kPairMask) == key && packed != kEmptyPair) {
      return static_cast<uint32_t>(packed >> (2 * kIdBits));
    }
    if (packed == kEmptyPair) return kNone;
  }
}

void Bpe::encode(std::string_view piece, const char* limit, Scratch& scratch,
                 std::vector<TokenId>& out) const {
  const uint32_t whole = piece.size() <= longest_ ? find_piece(piece, limit) : kNone;
  if (whole != kNone && (ignore_merges_ || stands_alone(whole))) {
    out.push_back(static_cast<TokenId>(whole));
  } else if (!search(piece, scratch, out)) {
    merge(piece, scratch, out);
  }
}

void Bpe::encode_by_merging(std::string_view piece, Scratch& scratch,
                            std::vector<TokenId>& out) const {
  const uint32_t whole = find_piece(piece, piece.data() + piece.size());
  if (whole != kNone && ignore_merges_) {
    out.push_back(static_cast<TokenId>(whole));
  } else {
    merge(piece, scratch, out);
  }
}

// Goes back in time from rank `limit`: of the two entries that meet at the boundary the one that
// was made later is taken apart, and the boundary pair's own rank is compared with the ranks at
// which either side went on merging. At equal ranks the leftmost pair goes first, so the boundary
// pair loses against the left side and wins against the right side.
Bpe::Meeting Bpe::meet(uint32_t left, uint32_t right, uint32_t limit) const {
  uint32_t left_until = limit, right_until = limit;  // 1 + rank
  Meeting meeting = Meeting::apart;
  const Derivation* l = &derivations_[left];
  const Derivation* r = &derivations_[right];
  while (true) {
    if ((l->right_partners & partner_bit(right)) && (r->left_partners & partner_bit(left))) {
      const uint32_t rank = rank_of(left, right);
      if (rank == kNone) {
        // No merge has them.
      } else if (merged_[rank].early) {
        meeting = Meeting::early;
      } else if (rank + 1 < left_until && rank + 1 <= right_until) {
        return Meeting::merge;
      }
    }
    if (l->created > r->created) {
      left_until = l->created;
      left = l->right;
      l = &derivations_[left];
    } else if (r->created > 0) {
      right_until = r->created;
      right = r->left;
      r = &derivations_[right];
    } else {
      return meeting;
    }
  }
}

bool Bpe::search(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  const size_t first = out.size();
  auto& dead_end = scratch.dead_end;
  dead_end.assign(piece.size() + 1, 0);
  size_t pos = 0;
  bool early = false;
  uint32_t candidate = trie_.longest(piece.data(), piece.size());
  while (true) {
    // The longest candidate that neither ends where nothing goes on nor would have merged with the
    // id before it.
    for (; candidate != kNone; candidate = trie_.shorter(candidate)) {
      if (dead_end[pos + derivations_[candidate].size]) continue;
      if (out.size() == first) break;
      const Meeting meeting = meet(static_cast<uint32_t>(out.back()), candidate, kNone);
      early = early || meeting == Meeting::early;
      if (meeting != Meeting::merge) break;
    }
    if (candidate != kNone) {
      out.push_back(static_cast<TokenId>(candidate));
      pos += derivations_[candidate].size;
      early = early || derivations_[candidate].touched;
      if (early) {
        out.resize(first);
        return false;
      }
      if (pos == piece.size()) return true;
      candidate = trie_.longest(piece.data() + pos, piece.size() - pos);
      continue;
    }
    // Never at the first id: the piece has a result.
    dead_end[pos] = 1;
    candidate = static_cast<uint32_t>(out.back());
    pos -= derivations_[candidate].size;
    out.pop_back();
    candidate = trie_.shorter(candidate);
  }
}

void Bpe::merge(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  const size_t size = piece.size();
  if (size > kScanLimit) return merge_long(piece, scratch, out);
  const auto* text = reinterpret_cast<const uint8_t*>(piece.data());
  // ids[i] is a symbol, ranks[i] the rank of merging it with its right neighbour.
  uint32_t ids[kScanLimit];
  uint32_t ranks[kScanLimit];
  for (size_t i = 0; i < size; ++i) {
    ids[i] = byte_id_[text[i]];
    ranks[i] = i + 1 < size ? byte_pair_rank_[text[i] << 8 | text[i + 1]] : kNone;
  }
  size_t count = size;
  while (count > 1) {
    size_t at = 0;
    uint32_t best = ranks[0];
    for (size_t i = 1; i + 1 < count; ++i) {
      if (ranks[i] < best) best = ranks[at = i];
    }
    if (best == kNone) break;
    ids[at] = merged_[best].merged;
    std::memmove(ids + at + 1, ids + at + 2, (count - at - 2) * sizeof(uint32_t));
    std::memmove(ranks + at, ranks + at + 1, (count - at - 1) * sizeof(uint32_t));
    --count;
    ranks[at] = at + 1 < count ? rank_of(ids[at], ids[at + 1]) : kNone;
    if (at > 0) ranks[at - 1] = rank_of(ids[at - 1], ids[at]);
  }
  for (size_t i = 0; i < count; ++i) out.push_back(static_cast<TokenId>(ids[i]));
}

void Bpe::merge_long(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  const auto size = static_cast<uint32_t>(piece.size());
  auto& [ids, ranks, previous, next, heap, unused] = scratch;
  ids.resize(size), ranks.resize(size), previous.resize(size), next.resize(size);
  heap.clear();
  // A heap of (rank, position); entries whose rank is no longer that of their position are stale.
  const auto* text = reinterpret_cast<const uint8_t*>(piece.data());
  for (uint32_t i = 0; i < size; ++i) {
    ids[i] = byte_id_[text[i]];
    ranks[i] = i + 1 < size ? byte_pair_rank_[text[i] << 8 | text[i + 1]] : kNone;
    previous[i] = i - 1;  // wraps to kNone for the first
    next[i] = i + 1 < size ? i + 1 : kNone;
    if (ranks[i] != kNone) heap.push_back(uint64_t{ranks[i]} << 32 | i);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto update = [&](uint32_t at) {
    const uint32_t right = next[at];
    ranks[at] = right == kNone ? kNone : rank_of(ids[at], ids[right]);
    if (ranks[at] == kNone) return;
    heap.push_back(uint64_t{ranks[at]} << 32 | at);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    const uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    const auto at = static_cast<uint32_t>(top);
    const auto rank = static_cast<uint32_t>(top >> 32);
    if (ranks[at] != rank) continue;
    const uint32_t gone = next[at];
    ids[at] = merged_[rank].merged;
    next[at] = next[gone];
    if (next[at] != kNone) previous[next[at]] = at;
    ranks[gone] = kNone;
    update(at);
    if (previous[at] != kNone) update(previous[at]);
  }
  for (uint32_t i = 0; i != kNone; i = next[i]) out.push_back(static_cast<TokenId>(ids[i]));
}

}  // namespace assay::engine
