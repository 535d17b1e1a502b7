// Byte-level BPE: the vocabulary, the merges, and the ids of one pre-tokenised piece.
//
// A piece's ids are defined by: begin with one symbol a byte; as long as some adjacent pair is in
// the merge list, merge the pair of the lowest rank, the leftmost first among equals. With
// ignore_merges a piece that is itself an entry becomes that entry at once.
//
// Immutable after building but for a memo of single bytes that every thread computes alike;
// thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  };
  // Appends the ids of `piece` (not empty). `limit` is the end of readable memory at or after the
  // piece's end.
  void encode(std::string_view piece, const char* limit, Scratch& scratch,
              std::vector<TokenId>& out) const;

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
  bool stands_alone(uint32_t id) const;
  void merge(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;
  void merge_long(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

  std::string texts_;
  std::vector<Span> tokens_;  // by id
  size_t entries_ = 0;
  bool ignore_merges_ = false;
  std::array<uint32_t, 256> byte_id_{};
  std::vector<uint32_t> byte_pair_rank_;  // [256 * 256]
  std::vector<ShortSlot> short_;
  std::vector<LongSlot> long_;
  int short_shift_ = 0, long_shift_ = 0, pair_shift_ = 0;
  std::vector<uint64_t> pairs_;   // left, right, rank packed; all ones: empty
  std::vector<uint32_t> merged_;  // by rank: the id
  // By id: whether an entry's own bytes encode to it. 0 not known yet, 1 yes, 2 no.
  std::unique_ptr<std::atomic<uint8_t>[]> alone_;
};

}  // namespace assay::engine
