// Byte-level BPE: the vocabulary, the merges, and the ids of one pre-tokenised piece.
//
// A piece's ids are defined by: begin with one symbol a byte; as long as some adjacent pair is in
// the merge list, merge the pair of the lowest rank, the leftmost first among equals. With
// ignore_merges a piece that is itself an entry becomes that entry at once.
//
// Two ways lead there. merge() follows the definition and is the referee. search() finds the same
// ids without merging, in linear time. Call a merge *early* if it is listed before its parts are
// made (Llama 3 has such); leave them aside for a moment. Then no merge applies to an entry that a
// merge of higher rank has made, merging is one sweep over the ranks, and what happens to a stretch
// of text before rank r depends on nothing outside it until a merge crosses its edge. Hence:
//   (1) every id of a result stands alone: its own bytes encode to it;
//   (2) a sequence of such ids is the result for its bytes exactly if each two neighbours are the
//       result for theirs (no merge crosses between them), and there is only one such sequence.
// search() walks through the text with the longest entry that is compatible with the id before it
// and steps back where none is; a place that was stepped back from is never tried again. On the way
// it sees every pair that is ever adjacent in the sweep. If an early merge has such a pair, the
// sweep is not the whole truth and merge() decides.
//
// Immutable after building; thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/token_trie.h"
#include "engine/text/tokenizer.h"

namespace assay::engine {

// What tokenizer.json says about the model, as read (tokenizer_file.h).
struct BpeSpec {
  struct Entry {
    uint32_t offset, size;  // in `texts`
    TokenId id;
    bool alphabet;  // written in the byte alphabet; `texts` holds the bytes it stands for
  };
  struct Merge {
    uint32_t offset;  // in `texts`: the bytes of left, then of right
    uint32_t left_size, right_size;
  };
  std::string texts;
  std::vector<Entry> entries;
  std::vector<Merge> merges;
  bool ignore_merges = false;
};

// Limits of the packed tables; far beyond every published vocabulary.
inline constexpr int kIdBits = 21, kRankBits = 22;
inline constexpr TokenId kMaxTokenId = (1 << kIdBits) - 2;

class Bpe {
 public:
  // Throws bad_input naming `where` (the file): duplicate ids, a merge of or into something that is
  // no entry, a byte without an entry.
  Bpe(const BpeSpec& spec, const std::string& where);

  // Space that one encoding call reuses for all its pieces.
  struct Scratch {
    std::vector<uint32_t> ids, ranks, previous, next;
    std::vector<uint64_t> heap;
    std::vector<uint8_t> dead_end;  // search: by offset in the piece
  };
  // Appends the ids of `piece` (not empty). `limit` is the end of readable memory at or after the
  // piece's end.
  void encode(std::string_view piece, const char* limit, Scratch& scratch,
              std::vector<TokenId>& out) const;

  // The same by the definition, however the vocabulary is made. For tests.
  void encode_by_merging(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

  // The entry that stands for exactly these bytes, written in the byte alphabet.
  std::optional<TokenId> find_bytes(std::string_view bytes) const;
  // The bytes of an id; empty where there is no entry.
  std::string_view bytes(TokenId id) const;
  bool has(TokenId id) const;
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }  // highest id + 1
  size_t entries() const { return entries_; }
  size_t merges() const { return merged_.size(); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Span {
    uint32_t offset = 0, size = 0;
    bool present = false;
  };
  // Entries of at most 11 bytes are compared in the table itself, longer ones by hash and text.
  struct ShortSlot {
    uint64_t low = 0;   // bytes 0..7
    uint32_t high = 0;  // bytes 8..10, and the size in the top byte
    uint32_t id = kNone;
  };
  struct LongSlot {
    uint64_t hash = 0;
    uint32_t id = kNone;
  };
  static constexpr size_t kShort = 11;

  void add_piece(std::string_view bytes, uint32_t id);
  uint32_t find_piece(std::string_view piece, const char* limit) const;
  uint32_t find_short(uint64_t low, uint32_t high) const;
  uint32_t find_long(std::string_view piece) const;
  // The rank of merging two entries, or kNone.
  uint32_t rank_of(uint32_t left, uint32_t right) const;
  void add_merges(const BpeSpec& spec, const std::string& where);
  void derive_entries();
  void find_untouched();
  // What happens between two entries that stand alone before rank `limit` - 1: nothing, a merge
  // crosses the boundary, or (and no merge does) a pair is adjacent that an early merge has.
  enum class Meeting { apart, merge, early };
  Meeting meet(uint32_t left, uint32_t right, uint32_t limit) const;
  bool stands_alone(uint32_t id) const {
    return derivations_[id].created != kNone && !derivations_[id].touched;
  }
  // Returns false, with `out` as before, if merge() has to decide.
  bool search(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;
  void merge(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;
  void merge_long(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

  std::string texts_;
  std::vector<Span> tokens_;  // by id
  size_t entries_ = 0;
  size_t longest_ = 0;  // bytes of the longest entry
  bool ignore_merges_ = false;
  std::array<uint32_t, 256> byte_id_{};
  std::vector<uint32_t> byte_pair_rank_;  // [256 * 256]
  std::vector<ShortSlot> short_;
  std::vector<LongSlot> long_;
  int short_shift_ = 0, long_shift_ = 0, pair_shift_ = 0;
  std::vector<uint64_t> pairs_;  // left, right, rank packed; all ones: empty
  struct Merge {
    uint32_t left, right, merged;
    bool early;  // listed before one of its parts is made
  };
  std::vector<Merge> merged_;  // by rank
  // How an entry's own bytes become it, by id; what search() reads, in half a cache line. An entry
  // that does not stand alone in the sweep has created kNone.
  struct Derivation {
    uint32_t created = kNone;  // 1 + the rank of the last merge; 0 for a single byte
    uint32_t left = kNone, right = kNone;
    uint32_t size : 31 = 0;    // bytes
    uint32_t touched : 1 = 0;  // an early merge's pair was adjacent on the way
    // One bit (partner_bit) for each entry that a merge has to the right, or to the left, of this
    // one: most pairs that no merge has are found out without looking into the table of pairs.
    uint64_t right_partners = 0, left_partners = 0;
  };
  static uint64_t partner_bit(uint32_t id) { return uint64_t{1} << (id * 0x9E3779B1u >> 26); }
  std::vector<Derivation> derivations_;
  TokenTrie trie_;  // the entries that stand alone
};

}  // namespace assay::engine
