#include "results/store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/utf8.h"
#include "results/embedded.h"
#include "results/store/migrations.h"

namespace assay::results {

bool is_network_filesystem(uint64_t statfs_type) {
  switch (static_cast<uint32_t>(statfs_type)) {
    case 0x6969:      // NFS
    case 0x517B:      // SMB
    case 0xFF534D42:  // CIFS
    case 0xFE534D42:  // SMB2
    case 0x5346414F:  // AFS
    case 0x00C36400:  // Ceph
    case 0x0BD00BD0:  // Lustre
    case 0x47504653:  // GPFS
    case 0x19830326:  // BeeGFS
    case 0x01021997:  // 9P
    case 0x65735546:  // FUSE: sshfs, gcsfuse ... cannot be told from local ones
      return true;
    default:
      return false;
  }
}

namespace detail {
namespace {

namespace fs = std::filesystem;

// The nearest existing folder of a file that may not exist yet.
fs::path folder_of(const fs::path& path) {
  const fs::path folder = path.parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

bool on_network(const fs::path& path) {
  struct statfs info {};
  if (statfs(folder_of(path).c_str(), &info) != 0) return false;
  return is_network_filesystem(static_cast<uint64_t>(info.f_type));
}

bool wants_wal(const fs::path& path, StoreOptions::Journal journal) {
  using Journal = StoreOptions::Journal;
  if (journal != Journal::automatic) return journal == Journal::wal;
  if (const char* overruled = std::getenv("ASSAY_STORE_JOURNAL"); overruled && *overruled) {
    const std::string_view name = overruled;
    if (name == "wal") return true;
    if (name == "delete") return false;
    throw_usage("ASSAY_STORE_JOURNAL is \"" + std::string(name) + "\"", "set it to wal or delete");
  }
  return !on_network(path);
}

}  // namespace

WriterLock::WriterLock(const fs::path& store) : path_(store.string() + "-writer") {
  for (;;) {
    descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0)
      throw_resource(std::string("cannot be opened for writing: ") + std::strerror(errno),
                     store.string(), "check that the folder exists and is writable");
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      char holder[32] = {};
      const ssize_t length = pread(descriptor_, holder, sizeof(holder) - 1, 0);
      close(descriptor_);
      descriptor_ = -1;
      throw_resource("another program is writing to this store" +
                         (length > 0 ? " (process " + std::string(holder) + ")" : std::string()),
                     store.string(), "wait until it has finished, or use another --store");
    }
    // The holder before us may have removed the name between our open and our lock.
    struct stat ours {
    }, named{};
    if (fstat(descriptor_, &ours) == 0 && stat(path_.c_str(), &named) == 0 &&
        ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
      break;
    close(descriptor_);
  }
  const std::string holder = std::to_string(getpid());
  // Only for the message above; the lock holds without it.
  if (ftruncate(descriptor_, 0) == 0 && pwrite(descriptor_, holder.data(), holder.size(), 0) < 0)
    errno = 0;
}

WriterLock::~WriterLock() {
  if (descriptor_ < 0) return;
  unlink(path_.c_str());
  close(descriptor_);
}

Database::Database(fs::path path, Store::Access access, const StoreOptions& options)
    : path_(std::move(path)), access_(access) {
  std::error_code ignored;
  const bool exists = fs::exists(path_, ignored);
  if (!exists && !writable())
    throw_bad_input("no such store", path_.string(), "give an existing one with --store FILE");
  if (exists && !fs::is_regular_file(path_, ignored))
    throw_bad_input("not a file", path_.string(), "a store is one SQLite file");
  if (writable()) lock_ = std::make_unique<WriterLock>(path_);
  guarded([&] {
    const int flags =
        writable() ? SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE : SQLite::OPEN_READONLY;
    connection_ =
        std::make_unique<SQLite::Database>(path_.string(), flags, options.busy_timeout_ms);
    check_identity();
    if (writable()) {
      const bool wal = wants_wal(path_, options.journal);
      // WAL with NORMAL: a killed process loses nothing that was committed; only a power failure
      // may lose the last commits, and never consistency.
      connection_->exec(wal ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE");
      connection_->exec(wal ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL");
      // A checkpoint waits for the disk: every 32 MiB of log rather than SQLite's 4.
      if (wal) connection_->exec("PRAGMA wal_autocheckpoint = 8192");
      create_or_migrate();
    }
    connection_->exec(
        "PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536; "
        "PRAGMA temp_store = MEMORY");
  });
}

Database::~Database() {
  statements_.clear();
  // Leaves one self-contained file behind, which also opens from read-only media. Fails while
  // others read the store; then the last of them checkpoints.
  if (connection_ && writable()) connection_->tryExec("PRAGMA journal_mode = DELETE");
}

void Database::check_identity() {
  const auto application =
      static_cast<uint32_t>(connection_->execAndGet("PRAGMA application_id").getInt64());
  const int version = connection_->execAndGet("PRAGMA user_version").getInt();
  const bool empty = connection_->execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
  if (application == kApplicationId && !empty) {
    if (version > kSchemaVersion)
      throw_bad_input("written by a newer version of assay (schema " + std::to_string(version) +
                          ", this program knows " + std::to_string(kSchemaVersion) + ")",
                      path_.string(), "use that version, or another --store");
    if (version < kSchemaVersion && !writable())
      throw_bad_input(
          "written by an older version of assay (schema " + std::to_string(version) + ")",
          path_.string(), "run `assay vacuum --store` on it once to migrate it");
    return;
  }
  if (application == 0 && empty && writable()) return;  // a new file
  throw_bad_input("a SQLite file, but not a store of assay", path_.string(),
                  "give another --store");
}

void Database::create_or_migrate() {
  SQLite::Transaction transaction(*connection_, SQLite::TransactionBehavior::IMMEDIATE);
  if (connection_->execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0) {
    connection_->exec(std::string(embedded_file("schema.sql")));
    connection_->exec("PRAGMA application_id = " + std::to_string(kApplicationId) +
                      "; PRAGMA user_version = " + std::to_string(kSchemaVersion));
  } else if (const int version = connection_->execAndGet("PRAGMA user_version").getInt();
             version < kSchemaVersion) {
    migrate(*connection_, version);
    SQLite::Statement broken(*connection_, "PRAGMA foreign_key_check");
    if (broken.executeStep())
      throw_bad_input("the migration from schema " + std::to_string(version) +
                          " found rows that refer to missing ones",
                      path_.string(), "the file was left as it was");
  }
  transaction.commit();
}

SQLite::Statement& Database::statement(const char* sql) {
  std::unique_ptr<SQLite::Statement>& slot = statements_[sql];
  if (!slot) {
    slot = std::make_unique<SQLite::Statement>(*connection_, sql);
  } else {
    // The result code repeats the last step's error, which was reported then.
    slot->tryReset();
    slot->clearBindings();
  }
  return *slot;
}

void Database::for_each_row(const char* sql, const std::function<void(SQLite::Statement&)>& bind,
                            const std::function<void(SQLite::Statement&)>& row) {
  guarded([&] {
    SQLite::Statement query(*connection_, sql);
    bind(query);
    while (query.executeStep()) row(query);
  });
}

void Database::rethrow(int code, int extended, const std::string& message) const {
  const std::string where = path_.string();
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw_resource("another program is using this store: " + message, where,
                     "wait until it has finished, or use another --store");
    case SQLITE_FULL:
      throw_resource("the disk is full; nothing since the last commit was kept", where,
                     "make room and run the same command again");
    case SQLITE_NOTADB:
      throw_bad_input("not a SQLite file", where, "give another --store");
    case SQLITE_CORRUPT:
      throw_bad_input("the file is damaged: " + message, where,
                      "restore a copy, or try `sqlite3 FILE .recover`");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
      throw_resource(message + " (SQLite " + std::to_string(extended) + ")", where,
                     "check permissions and the disk");
    default:
      throw_internal("SQLite: " + message, where);
  }
}

void bind_text(SQLite::Statement& statement, int index, std::string_view bytes) {
  if (bytes.find('\0') == std::string_view::npos && utf8::is_valid(bytes)) {
    statement.bind(index, std::string(bytes));
  } else {
    statement.bind(index, static_cast<const void*>(bytes.data()), static_cast<int>(bytes.size()));
  }
}

std::optional<double> optional_double(const SQLite::Statement& statement, int index) {
  const auto column = statement.getColumn(index);
  return column.isNull() ? std::nullopt : std::optional(column.getDouble());
}

AggregateRecord aggregate_at(const SQLite::Statement& statement, int first) {
  const auto integer = [&](int index) { return statement.getColumn(first + index).getInt64(); };
  AggregateRecord out;
  out.metric = column_text(statement, first);
  out.name = column_text(statement, first + 1);
  out.strata = integer(2);
  out.value = statement.getColumn(first + 3).getDouble();
  out.standard_error = optional_double(statement, first + 4);
  out.low = optional_double(statement, first + 5);
  out.high = optional_double(statement, first + 6);
  out.interval = column_text(statement, first + 7);
  out.n = integer(8);
  out.clusters = integer(9);
  out.errors = integer(10);
  return out;
}

std::string column_text(const SQLite::Statement& statement, int index) {
  return statement.getColumn(index).getString();
}

}  // namespace detail
}  // namespace assay::results
