// One SQLite connection to a store file: opening, checks, prepared statements, and errors that name
// the file. Private to this room; results/store.h is the contract.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "results/store.h"

namespace assay::results::detail {

inline constexpr uint32_t kApplicationId = 0x61737379;  // "assy"
inline constexpr int kSchemaVersion = 2;

// Held by a writer for its lifetime: an exclusive flock on a file beside the store, released by the
// kernel when the process ends, however it ends.
class WriterLock {
 public:
  explicit WriterLock(const std::filesystem::path& store);
  ~WriterLock();
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

class Database {
 public:
  Database(std::filesystem::path path, Store::Access access, const StoreOptions& options);
  ~Database();

  const std::filesystem::path& path() const { return path_; }
  bool writable() const { return access_ == Store::Access::write; }
  SQLite::Database& connection() { return *connection_; }

  // A prepared statement, reset and ready to bind; kept for the next use of the same text (the
  // address of `sql` must identify it: pass string literals).
  SQLite::Statement& statement(const char* sql);

  // Runs `body`, turning SQLite's exceptions into assay::Error with this file's name.
  template <class Body>
  auto guarded(Body&& body) -> decltype(body()) {
    try {
      return body();
    } catch (const SQLite::Exception& error) {
      rethrow(error.getErrorCode(), error.getExtendedErrorCode(), error.what());
    }
  }

  // Calls row(statement) for every row of a query after bind(statement).
  void for_each_row(const char* sql, const std::function<void(SQLite::Statement&)>& bind,
                    const std::function<void(SQLite::Statement&)>& row);

 private:
  [[noreturn]] void rethrow(int code, int extended, const std::string& message) const;
  void check_identity();
  void create_or_migrate();

  std::filesystem::path path_;
  Store::Access access_;
  std::unique_ptr<WriterLock> lock_;  // released after the connection is closed
  std::unique_ptr<SQLite::Database> connection_;
  std::map<const char*, std::unique_ptr<SQLite::Statement>> statements_;
};

// Binds bytes as TEXT where they are UTF-8 without NUL, else as BLOB.
void bind_text(SQLite::Statement& statement, int index, std::string_view bytes);
// The bytes of a TEXT or BLOB column, whole.
std::string column_text(const SQLite::Statement& statement, int index);
std::optional<double> optional_double(const SQLite::Statement& statement, int index);
// The columns metric, name, strata, value, standard_error, low, high, interval, n, clusters, errors
// from `first` on.
AggregateRecord aggregate_at(const SQLite::Statement& statement, int first);

}  // namespace assay::results::detail
