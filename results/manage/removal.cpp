#include "base/error.h"
#include "results/manage.h"
#include "results/store/database.h"

namespace assay::results {

void remove_run(Store& store, RunId run) {
  store.database().guarded([&] {
    SQLite::Database& db = store.database().connection();
    SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement remove(db, "DELETE FROM runs WHERE id = ?");
    remove.bind(1, static_cast<int64_t>(run));
    if (remove.exec() != 1)
      throw_usage("there is no run #" + std::to_string(static_cast<int64_t>(run)));
    transaction.commit();
  });
}

VacuumReport vacuum(Store& store) {
  VacuumReport report;
  // What is still in the write-ahead log belongs to the store.
  store.database().guarded(
      [&] { store.database().connection().exec("PRAGMA wal_checkpoint(TRUNCATE)"); });
  report.bytes_before = std::filesystem::file_size(store.path());
  store.database().guarded([&] {
    SQLite::Database& db = store.database().connection();
    // Rows are removed because nothing refers to them; checking that again row by row would scan
    // every table for each.
    db.exec("PRAGMA foreign_keys = OFF");
    {
      SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
      report.models =
          db.exec("DELETE FROM models WHERE id NOT IN (SELECT model_id FROM runs)");
      report.documents =
          db.exec("DELETE FROM documents WHERE id NOT IN (SELECT document_id FROM items)");
      report.texts = db.exec(
          "WITH used (id) AS (SELECT context_id FROM items WHERE context_id IS NOT NULL "
          "UNION SELECT context_id FROM options WHERE context_id IS NOT NULL "
          "UNION SELECT continuation_id FROM options), "
          "kept (id) AS (SELECT id FROM used UNION SELECT t.prefix_id FROM texts t "
          "JOIN used ON used.id = t.id WHERE t.prefix_id IS NOT NULL) "
          "DELETE FROM texts WHERE id NOT IN (SELECT id FROM kept)");
      transaction.commit();
    }
    db.exec("PRAGMA foreign_keys = ON");
    db.exec("VACUUM");
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  });
  report.bytes_after = std::filesystem::file_size(store.path());
  return report;
}

}  // namespace assay::results
