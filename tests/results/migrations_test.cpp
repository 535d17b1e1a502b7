// Every schema version that this program ever wrote opens, and then is like a new store.
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "base/file.h"
#include "results/store/database.h"
#include "synthetic_run.h"
#include "tests/support/paths.h"

namespace assay::results {
namespace {

// tests/fixtures/store-v<N>.sql: `sqlite3 FILE .dump` of a store that the program of that version
// wrote: synthetic tasks mmlu (12 documents, 3 groups) and gsm8k (5 generations) of the run
// "first".
void load_fixture(const std::filesystem::path& path, int version) {
  SQLite::Database raw(path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  raw.exec(read_file(test_paths::source().string() + "/tests/fixtures/store-v" +
                     std::to_string(version) + ".sql"));
  raw.exec("PRAGMA application_id = " + std::to_string(detail::kApplicationId) +
           "; PRAGMA user_version = " + std::to_string(version));
}

// table -> its columns with types, constraints and keys
std::map<std::string, std::string> shape(Store& store) {
  std::map<std::string, std::string> tables;
  store.database().for_each_row(
      "SELECT m.type || ' ' || m.name, c.name, c.type, c.[notnull], c.pk FROM sqlite_master m, "
      "pragma_table_info(m.name) c WHERE m.type IN ('table', 'view') ORDER BY m.name, c.name",
      [](auto&) {},
      [&](auto& q) {
        for (int column = 1; column < 5; ++column)
          tables[q.getColumn(0).getString()] += q.getColumn(column).getString() + " ";
      });
  return tables;
}

std::string strata(Store& store) {
  std::string all;
  store.database().for_each_row(
      "SELECT evaluation_id, position, stratum FROM items ORDER BY 1, 2", [](auto&) {},
      [&](auto& q) {
        for (int column = 0; column < 3; ++column) all += q.getColumn(column).getString() + " ";
      });
  return all;
}

class Migration : public testing::TestWithParam<int> {};

TEST_P(Migration, LeavesACurrentStoreWithItsContent) {
  TemporaryDirectory folder;
  const auto path = folder.path() / "old.sqlite";
  load_fixture(path, GetParam());
  try {
    Store::open(path, Store::Access::read);
    ADD_FAILURE() << "an old store must be migrated by a writer first";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
  }
  Store migrated = Store::open(path, Store::Access::write);
  Store fresh = Store::open(folder.path() / "new.sqlite", Store::Access::write);
  EXPECT_EQ(shape(migrated), shape(fresh));

  synthetic::Shape mmlu{.documents = 12, .groups = 3};
  synthetic::Shape gsm8k{.task = "gsm8k", .documents = 5, .groups = 0, .generate = true};
  synthetic::store_run(fresh, mmlu, "first", 100);
  const auto expected = synthetic::store_run(fresh, gsm8k, "first", 100);
  for (const EvaluationId evaluation : {EvaluationId{1}, EvaluationId{2}}) {
    const auto old_rows = migrated.aggregates(evaluation), new_rows = fresh.aggregates(evaluation);
    ASSERT_EQ(old_rows.size(), new_rows.size());
    for (size_t i = 0; i < old_rows.size(); ++i) {
      EXPECT_EQ(old_rows[i].name, new_rows[i].name);
      EXPECT_EQ(old_rows[i].strata, new_rows[i].strata);
      EXPECT_EQ(old_rows[i].n, new_rows[i].n);
      // Kept as they were computed then; quantiles may have gained digits since.
      EXPECT_NEAR(old_rows[i].low.value_or(0), new_rows[i].low.value_or(0), 1e-9);
    }
  }
  EXPECT_EQ(strata(migrated), strata(fresh));
  for (const EvaluationId evaluation : {EvaluationId{1}, EvaluationId{2}})
    migrated.finish_evaluation(evaluation);
  EXPECT_EQ(migrated.content_digest(RunId{1}), fresh.content_digest(expected.run));
  // The evaluation is recognised and complete.
  const auto again = synthetic::begin(migrated, mmlu, "first", 100);
  EXPECT_TRUE(migrated.is_finished(again.evaluation));
  EXPECT_EQ(migrated.finished_items(again.evaluation).size(), 12u);
}

INSTANTIATE_TEST_SUITE_P(EveryOlderVersion, Migration, testing::Range(1, detail::kSchemaVersion));

}  // namespace
}  // namespace assay::results
