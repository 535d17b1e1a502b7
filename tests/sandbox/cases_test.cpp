// The shared hostile and benign cases, each in its required class, at every level and with more
// workers than processors; nothing may be left behind. ASSAY_SANDBOX_REPEAT=10 runs all nine
// combinations of levels and workers, and every case so often in a row: the bar of the room.
#include <chrono>
#include <cstdlib>
#include <thread>

#include "sandbox/case_file.h"
#include "tests/sandbox/leftovers.h"
#include "tests/sandbox/support.h"

namespace assay::sandbox {
namespace {

struct SharedCase {
  NamedProgram named;
  std::string expect;
  std::vector<std::string> markers;
  double time_s = 0, check_after_s = 0;
};

std::vector<SharedCase> read_cases(const std::filesystem::path& path) {
  std::vector<SharedCase> all;
  json::for_each_line(read_file(path), path, [&](json::Value line, size_t) {
    SharedCase one;
    one.named = read_case(line);
    one.expect = line.at("expect").string();
    if (line.has("markers")) one.markers = line.at("markers").strings();
    one.time_s = line.at("limits").at("time_s").number();
    one.check_after_s = line.number_or("check_after_s", 0);
    if (const json::Value variables = line.find("runner_env"); variables.exists()) {
      variables.for_each_member([](std::string_view name, json::Value value) {
        setenv(std::string(name).c_str(), std::string(value.string()).c_str(), 1);
      });
    }
    all.push_back(std::move(one));
  });
  return all;
}

void expect_class(const SharedCase& one, const Verdict& verdict) {
  const std::string record = verdict.json();
  const std::string what = one.named.id + ": " + record;
  EXPECT_LE(record.size(), kMaxRecordBytes) << one.named.id;
  EXPECT_NO_THROW(json::Document::parse(record, one.named.id));
  EXPECT_NE(verdict.outcome, Outcome::sandbox_error) << what;
  if (one.expect == "must_pass") {
    EXPECT_EQ(verdict.outcome, Outcome::pass) << what;
  } else if (one.expect == "must_fail_not_pass") {
    EXPECT_EQ(verdict.outcome, Outcome::fail) << what;
  } else if (one.expect == "must_timeout") {
    EXPECT_EQ(verdict.outcome, Outcome::timeout) << what;
  } else if (one.expect == "must_be_killed_memory") {
    EXPECT_EQ(verdict.outcome, Outcome::memory) << what;
  } else {
    ASSERT_EQ(one.expect, "must_be_denied_and_contained") << what;
    EXPECT_EQ(record.find("ESCAPED"), std::string::npos) << what;
  }
  for (const Attempt& attempt : verdict.attempts) {
    // Alone, time without a processor is not counted.
    const double limit_ms = one.time_s * 1000;
    EXPECT_LE(attempt.wall_ms, (attempt.alone ? 21 : 1) * limit_ms + 3000) << what;
  }
}

class Cases : public ::testing::TestWithParam<std::tuple<Level, int>> {};

TEST_P(Cases, AllInTheirClass) {
  SHARED_OR_SKIP(path, "sandbox-cases/cases.jsonl");
  const char* repeat = std::getenv("ASSAY_SANDBOX_REPEAT");
  const auto [level, workers] = GetParam();
  const bool brief = workers == (level == Level::b ? 8 : 32);
  if (!repeat && !brief) GTEST_SKIP() << "SKIPPED: only with ASSAY_SANDBOX_REPEAT";
  const int rounds = repeat ? std::max(1, std::atoi(repeat)) : 1;
  const std::vector<SharedCase> all = read_cases(path);
  EXPECT_GE(all.size(), 45u);
  for (const SharedCase& one : all) {
    for (const std::string& marker : one.markers) std::filesystem::remove(marker);
  }
  const testing::Leftovers leftovers;
  {
    SANDBOX_OR_SKIP(sandbox, level, workers);
    std::vector<Program> programs;
    for (int round = 0; round < rounds; ++round) {
      for (const SharedCase& one : all) programs.push_back(one.named.program);
    }
    const std::vector<Verdict> verdicts = sandbox->run_all(std::move(programs));
    for (size_t i = 0; i < verdicts.size(); ++i) {
      expect_class(all[i % all.size()], verdicts[i]);
    }
    double wait = 0;
    for (const SharedCase& one : all) wait = std::max(wait, one.check_after_s);
    std::this_thread::sleep_for(std::chrono::duration<double>(wait));
    for (const SharedCase& one : all) {
      for (const std::string& marker : one.markers) {
        EXPECT_FALSE(std::filesystem::exists(marker)) << one.named.id << " made " << marker;
      }
    }
  }
  leftovers.expect_none();
}

INSTANTIATE_TEST_SUITE_P(Levels, Cases,
                         ::testing::Combine(::testing::Values(Level::a, Level::b, Level::c),
                                            ::testing::Values(2, 8, 32)),
                         [](const auto& info) {
                           return std::string(level_name(std::get<0>(info.param))) + "_" +
                                  std::to_string(std::get<1>(info.param)) + "workers";
                         });

}  // namespace
}  // namespace assay::sandbox
