#include "results/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "results/embedded.h"
#include "results/store/database.h"
#include "synthetic_run.h"
#include "tests/support/paths.h"

namespace assay::results {
namespace {

using synthetic::Shape;

class StoreTest : public testing::Test {
 protected:
  std::filesystem::path file(const char* name = "store.sqlite") const {
    return folder_.path() / name;
  }
  Store write(const char* name = "store.sqlite") const {
    return Store::open(file(name), Store::Access::write);
  }
  TemporaryDirectory folder_{"assay-store-test"};
};

ErrorKind kind_of(const std::function<void()>& action, std::string* message = nullptr) {
  try {
    action();
  } catch (const Error& error) {
    if (message) *message = error.what();
    return error.kind();
  }
  return ErrorKind{0};
}

int64_t count(Store& store, const char* sql) {
  int64_t result = -1;
  store.database().for_each_row(
      sql, [](auto&) {}, [&](auto& q) { result = q.getColumn(0).getInt64(); });
  return result;
}

TEST_F(StoreTest, KeepsHostileTextExactly) {
  const std::string hostile[] = {std::string("nul\0inside", 10),
                                 "\xff\xfe broken \x80",
                                 "</script>",
                                 "\x1b[2J\x07",
                                 "",
                                 "'; DROP TABLE items; --",
                                 "汉字\r\n"};
  Store store = write();
  Shape shape;
  shape.documents = std::size(hostile);
  const auto stored = synthetic::begin(store, shape, "hostile");
  for (size_t i = 0; i < std::size(hostile); ++i) {
    ItemRecord item = synthetic::item(shape, static_cast<int64_t>(i));
    item.context += hostile[i];
    store.put_item(stored.evaluation, item);
    GenerationRecord generation;
    generation.position = static_cast<int64_t>(i);
    generation.text = hostile[i];
    generation.extracted = hostile[i];
    generation.finish = "stop";
    store.put_generation(stored.evaluation, generation);
  }
  store.commit();
  const auto states = store.item_states(stored.evaluation);
  ASSERT_EQ(states.size(), std::size(hostile));
  for (size_t i = 0; i < std::size(hostile); ++i) {
    ASSERT_EQ(states[i].generations.size(), 1u);
    EXPECT_EQ(states[i].generations[0].text, hostile[i]);
    EXPECT_EQ(states[i].generations[0].extracted, hostile[i]);
  }
}

TEST_F(StoreTest, SharesLongPrefixesOfPrompts) {
  Store store = write();
  Shape shape;
  shape.documents = 400;
  synthetic::store_run(store, shape, "a");
  int64_t whole = 0;
  for (int64_t i = 0; i < shape.documents; ++i)
    whole += static_cast<int64_t>(synthetic::item(shape, i).context.size());
  const int64_t kept = count(store, "SELECT sum(length(content)) FROM texts");
  EXPECT_LT(kept, whole / 8);
  int64_t position = 0;
  store.database().for_each_row(
      "SELECT t.text FROM items i JOIN full_texts t ON t.id = i.context_id ORDER BY i.position",
      [](auto&) {},
      [&](auto& q) {
        EXPECT_EQ(detail::column_text(q, 0), synthetic::item(shape, position++).context);
      });
  EXPECT_EQ(position, shape.documents);
}

TEST_F(StoreTest, RefusesForeignFiles) {
  std::string message;
  EXPECT_EQ(kind_of([&] { Store::open(file("missing"), Store::Access::read); }, &message),
            ErrorKind::bad_input);
  EXPECT_NE(message.find("missing"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(file("missing")));

  write_file_atomically(file("text"), std::string(5000, 'x'));
  write_file_atomically(file("short"), "hello");
  {
    SQLite::Database other(file("other").string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    other.exec("CREATE TABLE t (a)");
  }
  for (const char* name : {"text", "short", "other"}) {
    const std::string before = read_file(file(name));
    for (const auto access : {Store::Access::read, Store::Access::write}) {
      EXPECT_EQ(kind_of([&] { Store::open(file(name), access); }, &message), ErrorKind::bad_input)
          << name;
      EXPECT_NE(message.find(name), std::string::npos) << message;
    }
    EXPECT_EQ(read_file(file(name)), before) << name << " was changed";
  }
  EXPECT_EQ(kind_of([&] { Store::open(folder_.path(), Store::Access::write); }),
            ErrorKind::bad_input);
  EXPECT_EQ(kind_of([&] { Store::open(file("no/such/folder"), Store::Access::write); }),
            ErrorKind::resource);
}

TEST_F(StoreTest, RefusesNewerSchema) {
  { Store store = write(); }
  {
    SQLite::Database raw(file().string(), SQLite::OPEN_READWRITE);
    raw.exec("PRAGMA user_version = " + std::to_string(detail::kSchemaVersion + 1));
  }
  std::string message;
  EXPECT_EQ(kind_of([&] { write(); }, &message), ErrorKind::bad_input);
  EXPECT_NE(message.find("newer"), std::string::npos) << message;
}

TEST_F(StoreTest, RefusesSecondWriterAndAllowsReaders) {
  Store store = write();
  const auto stored = synthetic::begin(store, {}, "a");
  store.put_item(stored.evaluation, synthetic::item({}, 0));
  std::string message;
  EXPECT_EQ(kind_of([&] { write(); }, &message), ErrorKind::resource);
  EXPECT_NE(message.find("store.sqlite"), std::string::npos) << message;
  EXPECT_NE(message.find(std::to_string(getpid())), std::string::npos) << message;
  Store reader = Store::open(file(), Store::Access::read);
  EXPECT_TRUE(reader.item_states(stored.evaluation).empty());
  store.commit();
  EXPECT_EQ(reader.item_states(stored.evaluation).size(), 1u);
  EXPECT_EQ(kind_of([&] { reader.put_item(stored.evaluation, synthetic::item({}, 1)); }),
            ErrorKind::internal);
}

TEST_F(StoreTest, LeavesOneFileBehind) {
  {
    Store store = write();
    synthetic::store_run(store, {}, "a");
  }
  int64_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    ++files;
  EXPECT_EQ(files, 1);
}

TEST_F(StoreTest, RollbackJournalHoldsTheSame) {
  StoreOptions options;
  options.journal = StoreOptions::Journal::rollback;
  Store wal = write("wal.sqlite");
  Store rollback = Store::open(file("rollback.sqlite"), Store::Access::write, options);
  const auto a = synthetic::store_run(wal, {}, "a"), b = synthetic::store_run(rollback, {}, "a");
  EXPECT_EQ(wal.content_digest(a.run), rollback.content_digest(b.run));
  EXPECT_EQ(count(wal, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"), 1);
  EXPECT_EQ(
      count(rollback, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'delete'"), 1);
}

TEST_F(StoreTest, OptionsMergeAsPassesFinish) {
  Store store = write();
  const auto stored = synthetic::begin(store, {}, "a");
  store.put_item(stored.evaluation, synthetic::item({}, 0));
  OptionRecord uncond;
  uncond.continuation = " A";
  uncond.uncond_logprob = -7.5;
  store.put_option(stored.evaluation, uncond);
  store.put_option(stored.evaluation, synthetic::option({}, 0, 0));
  store.put_option(stored.evaluation, uncond);
  store.commit();
  const auto states = store.item_states(stored.evaluation);
  ASSERT_EQ(states.at(0).options.size(), 1u);
  const OptionRecord& option = states[0].options[0];
  EXPECT_EQ(option.uncond_logprob, -7.5);
  EXPECT_EQ(option.logprob, synthetic::option({}, 0, 0).logprob);
  EXPECT_EQ(option.tokens, 1);
  EXPECT_EQ(option.greedy, synthetic::option({}, 0, 0).greedy);
  EXPECT_FALSE(option.whole_loss.has_value());
}

TEST_F(StoreTest, ContentDoesNotDependOnOrderOrBatches) {
  Shape shape;
  shape.documents = 60;
  Store straight = write("straight.sqlite");
  const auto a = synthetic::store_run(straight, shape, "a", 100, 7);

  Store shuffled = write("shuffled.sqlite");
  synthetic::store_run(shuffled, shape, "another run first");
  const auto b = synthetic::begin(shuffled, shape, "a", 100);
  std::vector<int64_t> order(static_cast<size_t>(shape.documents));
  std::iota(order.begin(), order.end(), 0);
  std::reverse(order.begin(), order.end());
  std::swap(order[3], order[40]);
  for (const int64_t i : order) {
    shuffled.put_item(b.evaluation, synthetic::item(shape, i));
    for (int k = shape.options - 1; k >= 0; --k)
      shuffled.put_option(b.evaluation, synthetic::option(shape, i, k));
    shuffled.add_expert_load(b.evaluation, synthetic::load(i));
    shuffled.put_grade(b.evaluation, synthetic::grade(shape, i));
  }
  shuffled.finish_evaluation(b.evaluation);
  shuffled.finish_run(b.run);
  EXPECT_EQ(straight.content_digest(a.run), shuffled.content_digest(b.run));

  GradeRecord other = synthetic::grade(shape, 5);
  other.metrics[1].value += 1e-15;
  shuffled.put_grade(b.evaluation, other);
  shuffled.commit();
  EXPECT_NE(straight.content_digest(a.run), shuffled.content_digest(b.run));
}

TEST_F(StoreTest, UncommittedBatchIsForgotten) {
  EvaluationId evaluation{};
  {
    Store store = write();
    evaluation = synthetic::begin(store, {}, "a").evaluation;
    store.put_item(evaluation, synthetic::item({}, 0));
    store.commit();
    store.put_item(evaluation, synthetic::item({}, 1));
  }
  Store store = write();
  EXPECT_EQ(store.item_states(evaluation).size(), 1u);
  // Texts remembered from a batch that was rolled back are stored again.
  store.put_item(evaluation, synthetic::item({}, 2));
  store.put_option(evaluation, synthetic::option({}, 2, 0));
  store.rollback();
  store.put_item(evaluation, synthetic::item({}, 2));
  store.put_option(evaluation, synthetic::option({}, 2, 0));
  store.commit();
  EXPECT_EQ(count(store, "SELECT count(*) FROM options o JOIN texts t ON t.id = o.continuation_id"),
            1);
}

TEST_F(StoreTest, RepeatingAFinishedRunChangesNothing) {
  const Shape shape;
  std::string first;
  {
    Store store = write();
    first = store.content_digest(synthetic::store_run(store, shape, "a").run);
  }
  Store store = write();
  const auto again = synthetic::begin(store, shape, "a");
  EXPECT_TRUE(store.is_finished(again.evaluation));
  EXPECT_EQ(static_cast<int64_t>(store.finished_items(again.evaluation).size()), shape.documents);
  synthetic::complete(store, again, shape, 10);
  EXPECT_EQ(store.content_digest(again.run), first);
  EXPECT_EQ(count(store, "SELECT count(*) FROM sessions"), 2);
  EXPECT_EQ(count(store, "SELECT count(*) FROM runs"), 1);
}

TEST_F(StoreTest, SurvivesSigkillAtAnyMoment) {
  Shape shape;
  shape.documents = 3000;
  std::string expected;
  {
    Store store = write("uninterrupted.sqlite");
    expected = store.content_digest(synthetic::store_run(store, shape, "a", 7, 50).run);
  }
  Random random(20261123);
  int killed = 0;
  for (int attempt = 0; attempt < 200; ++attempt) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        Store store = write("killed.sqlite");
        const auto stored = synthetic::begin(store, shape, "a", 7);
        synthetic::complete(store, stored, shape, 50);
      } catch (const std::exception& error) {
        (void)!::write(2, error.what(), std::strlen(error.what()));
        _exit(1);
      }
      _exit(0);
    }
    usleep(static_cast<useconds_t>(random.below(60000)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    ++killed;
  }
  EXPECT_GT(killed, 2) << "the test must interrupt the run";
  Store store = write("killed.sqlite");
  const auto stored = synthetic::begin(store, shape, "a", 7);
  synthetic::complete(store, stored, shape, 50);
  EXPECT_EQ(store.content_digest(stored.run), expected);
  EXPECT_EQ(
      count(store, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
}

TEST_F(StoreTest, FullDiskKeepsTheLastCommit) {
  Store store = write();
  Shape shape;
  shape.documents = 2000;
  const auto stored = synthetic::begin(store, shape, "a");
  store.put_item(stored.evaluation, synthetic::item(shape, 0));
  store.commit();
  const int64_t pages = count(store, "PRAGMA page_count");
  store.database().connection().exec("PRAGMA max_page_count = " + std::to_string(pages + 5));
  std::string message;
  EXPECT_EQ(kind_of(
                [&] {
                  for (int64_t i = 1; i < shape.documents; ++i)
                    store.put_item(stored.evaluation, synthetic::item(shape, i));
                  store.commit();
                },
                &message),
            ErrorKind::resource);
  EXPECT_NE(message.find("full"), std::string::npos) << message;
  EXPECT_EQ(store.item_states(stored.evaluation).size(), 1u);
  store.database().connection().exec("PRAGMA max_page_count = 1000000");
  synthetic::complete(store, stored, shape, 100);
  EXPECT_TRUE(store.is_finished(stored.evaluation));
}

TEST_F(StoreTest, RefusesToFinishHalfAnEvaluation) {
  Store store = write();
  const auto stored = synthetic::begin(store, {}, "a");
  store.put_item(stored.evaluation, synthetic::item({}, 0));
  EXPECT_EQ(kind_of([&] { store.finish_evaluation(stored.evaluation); }), ErrorKind::internal);
  EXPECT_EQ(kind_of([&] { store.put_grade(stored.evaluation, synthetic::grade({}, 3)); }),
            ErrorKind::internal);
  OptionRecord nan = synthetic::option({}, 0, 0);
  nan.logprob = std::nan("");
  EXPECT_EQ(kind_of([&] { store.put_option(stored.evaluation, nan); }), ErrorKind::internal);
}

TEST_F(StoreTest, ErroredItemsAreCountedAndNotAveraged) {
  Store store = write();
  Shape shape;
  shape.groups = 0;
  const auto stored = synthetic::begin(store, shape, "a");
  double sum = 0;
  for (int64_t i = 0; i < shape.documents; ++i) {
    store.put_item(stored.evaluation, synthetic::item(shape, i));
    GradeRecord grade = synthetic::grade(shape, i);
    if (i < 3) {
      grade.metrics.clear();
      grade.error = "the prompt does not fit";
    } else {
      sum += grade.metrics[0].value;
    }
    store.put_grade(stored.evaluation, grade);
  }
  store.finish_evaluation(stored.evaluation);
  for (const AggregateRecord& row : store.aggregates(stored.evaluation)) {
    if (row.metric != "acc") continue;
    EXPECT_EQ(row.n, shape.documents - 3);
    EXPECT_EQ(row.errors, 3);
    EXPECT_DOUBLE_EQ(row.value, sum / static_cast<double>(shape.documents - 3));
    EXPECT_EQ(row.interval, "wilson");
  }
}

TEST(Schema, EveryTableAndColumnHasAComment) {
  const std::string_view schema = embedded_file("schema.sql");
  ASSERT_NE(schema.data(), nullptr);
  bool in_table = false, comment_before = false;
  int columns = 0;
  size_t at = 0;
  while (at < schema.size()) {
    const size_t end = std::min(schema.find('\n', at), schema.size());
    const std::string line(schema.substr(at, end - at));
    at = end + 1;
    if (line.starts_with("CREATE TABLE")) {
      EXPECT_TRUE(comment_before) << line;
      in_table = true;
    } else if (line.starts_with(")")) {
      in_table = false;
    } else if (in_table && line.size() > 2 && std::islower(static_cast<unsigned char>(line[2]))) {
      ++columns;
      EXPECT_NE(line.find("-- "), std::string::npos) << line;
    }
    comment_before = line.starts_with("--");
  }
  EXPECT_GT(columns, 90);
}

TEST(Schema, EveryViewIsInTheManual) {
  TemporaryDirectory folder;
  Store store = Store::open(folder.path() / "s", Store::Access::write);
  const std::string manual = read_file(test_paths::source().string() + "/docs/store.md");
  int views = 0;
  store.database().for_each_row(
      "SELECT m.name, group_concat(c.name, ', ') FROM sqlite_master m, pragma_table_info(m.name) c "
      "WHERE m.type = 'view' GROUP BY m.name",
      [](auto&) {},
      [&](auto& q) {
        const std::string line = manual.substr(
            std::min(manual.size(), manual.find("| `" + q.getColumn(0).getString() + "` |")));
        EXPECT_NE(line.substr(0, line.find('\n')).find("| " + q.getColumn(1).getString() + " |"),
                  std::string::npos)
            << q.getColumn(0).getString() << ": " << q.getColumn(1).getString();
        ++views;
      });
  EXPECT_GE(views, 5);
}

// As on a network file system: no shared-memory file beside the store, readers all the same.
TEST(NetworkFilesystem, NeedsNoSharedMemory) {
  TemporaryDirectory folder;
  const auto path = folder.path() / "s";
  setenv("ASSAY_STORE_JOURNAL", "delete", 1);
  {
    Store store = Store::open(path, Store::Access::write);
    const auto stored = synthetic::begin(store, {}, "a");
    store.put_item(stored.evaluation, synthetic::item({}, 0));
    EXPECT_FALSE(std::filesystem::exists(path.string() + "-shm"));
    store.commit();
    EXPECT_EQ(Store::open(path, Store::Access::read).finished_items(stored.evaluation).size(), 0u);
  }
  setenv("ASSAY_STORE_JOURNAL", "wla", 1);
  EXPECT_THROW(Store::open(path, Store::Access::write), Error);
  unsetenv("ASSAY_STORE_JOURNAL");
}

TEST(NetworkFilesystem, IsKnownByItsMagicNumber) {
  EXPECT_TRUE(is_network_filesystem(0x6969));       // NFS_SUPER_MAGIC of linux/magic.h
  EXPECT_TRUE(is_network_filesystem(0xFF534D42));   // CIFS_SUPER_MAGIC
  EXPECT_FALSE(is_network_filesystem(0xEF53));      // ext4
  EXPECT_FALSE(is_network_filesystem(0x01021994));  // tmpfs
  EXPECT_FALSE(is_network_filesystem(0x794c7630));  // overlayfs
  EXPECT_FALSE(is_network_filesystem(0x58465342));  // xfs
}

}  // namespace
}  // namespace assay::results
