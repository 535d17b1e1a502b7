// The writing half of a Store: transactions, texts stored once, rows put in place. Private.
#pragma once

#include <string>
#include <unordered_map>

#include "results/store.h"
#include "results/store/database.h"

namespace assay::results::detail {

// Finds or adds byte strings in the table `texts`.
//
// A long text that shares at least kMinimumPrefix bytes with the text before it in the same stream
// (an evaluation's prompts, which share their exemplars) is stored as a reference to that prefix
// and its own rest: five-shot prompts shrink to their questions without anyone naming the
// exemplars.
class TextTable {
 public:
  explicit TextTable(Database& database) : database_(database) {}

  int64_t put(std::string_view text);
  int64_t put_in_stream(int64_t stream, std::string_view text);
  // Row numbers remembered may be of rows that were rolled back.
  void forget();

 private:
  static constexpr size_t kMinimumPrefix = 256;
  static constexpr size_t kRememberedLength = 64;  // options like " A" come again and again
  static constexpr size_t kRememberedCount = 4096;

  struct Stream {
    std::string last;    // the text before
    std::string prefix;  // the prefix in use
    int64_t prefix_id = 0;
  };
  int64_t insert(std::string_view whole, std::string_view content, int64_t prefix_id);

  Database& database_;
  std::unordered_map<std::string, int64_t> remembered_;
  std::unordered_map<int64_t, Stream> streams_;
};

}  // namespace assay::results::detail

namespace assay::results {

struct Store::Writer {
  explicit Writer(detail::Database& db) : database(db), texts(db) {}

  // Runs `body` inside the batch, opening it if need be; forgets the batch if `body` throws.
  template <class Body>
  auto in_batch(Body&& body) -> decltype(body()) {
    try {
      return database.guarded([&] {
        if (!open) {
          database.connection().exec("BEGIN IMMEDIATE");
          open = true;
        }
        return body();
      });
    } catch (...) {
      rollback();
      throw;
    }
  }
  void commit();
  void rollback() noexcept;
  int64_t metric_id(const std::string& name);

  detail::Database& database;
  detail::TextTable texts;
  std::unordered_map<std::string, int64_t> metric_ids;
  bool open = false;
  std::unordered_map<int64_t, int64_t> sessions;  // open session of a run
};

}  // namespace assay::results
