#include <algorithm>

#include "base/digest.h"
#include "base/utf8.h"
#include "results/store/writer.h"

namespace assay::results::detail {
namespace {

// Length of the longest common prefix, cut back to the start of a code point.
size_t common_prefix(std::string_view a, std::string_view b) {
  const auto [end, unused] =
      std::mismatch(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin());
  size_t length = static_cast<size_t>(end - a.begin());
  while (length > 0 && length < a.size() && (static_cast<uint8_t>(a[length]) & 0xC0) == 0x80)
    --length;
  return length;
}

}  // namespace

int64_t TextTable::insert(std::string_view whole, std::string_view content, int64_t prefix_id) {
  Sha256 hash;
  hash.update(whole);
  const auto digest = hash.finish();
  SQLite::Statement& add = database_.statement(
      "INSERT INTO texts (digest, prefix_id, content) VALUES (?, ?, ?) "
      "ON CONFLICT (digest) DO NOTHING");
  add.bind(1, static_cast<const void*>(digest.data()), static_cast<int>(digest.size()));
  if (prefix_id != 0) add.bind(2, prefix_id);
  bind_text(add, 3, content);
  if (add.exec() == 1) return database_.connection().getLastInsertRowid();

  SQLite::Statement& find = database_.statement("SELECT id FROM texts WHERE digest = ?");
  find.bind(1, static_cast<const void*>(digest.data()), static_cast<int>(digest.size()));
  find.executeStep();
  const int64_t id = find.getColumn(0).getInt64();
  find.reset();
  return id;
}

int64_t TextTable::put(std::string_view text) {
  if (text.size() > kRememberedLength) return insert(text, text, 0);
  const auto [entry, added] = remembered_.try_emplace(std::string(text), 0);
  if (added) entry->second = insert(text, text, 0);
  const int64_t id = entry->second;
  if (remembered_.size() > kRememberedCount) remembered_.clear();
  return id;
}

int64_t TextTable::put_in_stream(int64_t stream_id, std::string_view text) {
  if (text.size() < kMinimumPrefix) return put(text);
  Stream& stream = streams_[stream_id];
  const size_t shared = common_prefix(text, stream.last);
  const bool fits = stream.prefix_id != 0 && text.starts_with(stream.prefix);
  // A new prefix where none fits, or where this one has become much too short (a new subject whose
  // description alone is shared with the last one).
  if (shared >= kMinimumPrefix && (!fits || shared >= stream.prefix.size() + kMinimumPrefix)) {
    stream.prefix.assign(text.substr(0, shared));
    stream.prefix_id = put(stream.prefix);
    // The row may have been there before, cut in two itself; prefixes must be whole.
    SQLite::Statement& find = database_.statement("SELECT prefix_id FROM texts WHERE id = ?");
    find.bind(1, stream.prefix_id);
    find.executeStep();
    const bool whole = find.getColumn(0).isNull();
    find.reset();
    if (!whole) stream.prefix_id = 0;
  } else if (!fits) {
    stream.prefix_id = 0;
  }
  stream.last.assign(text);
  if (stream.prefix_id == 0) return put(text);
  return insert(text, text.substr(stream.prefix.size()), stream.prefix_id);
}

void TextTable::forget() {
  remembered_.clear();
  streams_.clear();
}

}  // namespace assay::results::detail
