// The six worked examples of the task specifications, byte for byte, by their published digests,
// and the order-of-exemplars vectors. The prompts are built from the publishers' files.
#include <gtest/gtest.h>

#include "base/digest.h"
#include "base/json.h"
#include "tasks/exemplars.h"
#include "tasks/task.h"
#include "tests/tasks/shared_data.h"

namespace assay::tasks {
namespace {

// The document whose text field contains `part`.
size_t find_document(const Task& task, const std::string& field, const std::string& part) {
  for (size_t i = 0; i < task.size(); ++i) {
    if (task.document(i).text(field).find(part) != std::string::npos) return i;
  }
  ADD_FAILURE() << task.name() << ": no document with " << part;
  return 0;
}

struct Golden {
  const char* task;
  const char* group;
  const char* field;
  const char* part;
  size_t bytes;
  const char* sha256;
  std::vector<std::string> continuations;
};

class GoldenPrompt : public testing::TestWithParam<Golden> {};

TEST_P(GoldenPrompt, BytesAndDigest) {
  const Golden& golden = GetParam();
  auto root = shared_datasets(golden.task);
  if (!root) GTEST_SKIP() << missing_shared(golden.task);
  Catalog catalog;
  Task task = Task::open(catalog, {.task = golden.task, .group = golden.group, .data_root = *root});
  Prompt prompt = task.prompt(find_document(task, golden.field, golden.part));
  EXPECT_EQ(prompt.context.size(), golden.bytes) << prompt.context;
  EXPECT_EQ(sha256_hex(prompt.context), golden.sha256) << prompt.context;
  if (!golden.continuations.empty()) {
    std::vector<std::string> continuations;
    for (const Option& option : prompt.options) continuations.push_back(option.continuation);
    EXPECT_EQ(continuations, golden.continuations);
  }
}

const std::vector<std::string> kLetters{" A", " B", " C", " D"};

INSTANTIATE_TEST_SUITE_P(
    WorkedExamples, GoldenPrompt,
    testing::Values(
        Golden{"mmlu", "miscellaneous", "question",
               "Which of the Three Stooges was not related to the others?", 847,
               "6a6fe788bea661ab45afd23b286e0b51d08a36b61be46c43618b1d66b5239d3a", kLetters},
        Golden{"ceval", "education_science", "question",
               "有学者强调，教育要根据一个民族固有的特征来定", 1411,
               "0a1d835dab5c7ebfb5a0c10d7b4e7cca1610c5bc8aea9f142fbf5c3ee4e319bb", kLetters},
        Golden{"cmmlu", "anatomy", "question", "从脑干背侧出脑的脑神经是", 694,
               "0c89c0d5362b4e3c81bc401e5b97bb37d0cef2a6e45ae8d61d6d3e0f94c84ba3", kLetters},
        Golden{"gsm8k",
               "",
               "question",
               "Indras has 6 letters in her name.",
               3227,
               "84c009043072c2955dadd226314353c42988a2795876f4a374a72b7b76504add",
               {}},
        Golden{"humaneval",
               "",
               "task_id",
               "HumanEval/83",
               162,
               "95756b802178f59a46858750c8ad466939feb5b7d482afdf98a9b61b8bf88742",
               {}}),
    [](const auto& info) { return std::string(info.param.task); });

// The worked example's item is not in the sample of the validation set; it is made here.
TEST(GoldenPrompt, HellaSwag) {
  TemporaryDirectory root;
  std::filesystem::create_directories(root.path() / "hellaswag");
  json::Writer row;
  row.begin_object().member("ind", 1).member("activity_label", "Playing piano");
  row.member("ctx_a", "A man is seated at a piano.").member("ctx_b", "he");
  row.member("ctx", "A man is seated at a piano. he").member("split", "val");
  row.member("split_type", "indomain").member("label", 0).member("source_id", "activitynet~v_x");
  row.key("endings").begin_array();
  row.value("is playing the piano with his hands and his face.");
  row.value("bigins to play a song by timbaland on the piano.");
  row.value("plays slowly, and pauses to snap his fingers.");
  row.value("is playing a song in front of him.").end_array().end_object();
  write_file_atomically(root.path() / "hellaswag/hellaswag_val.jsonl", row.take() + "\n");
  Catalog catalog;
  Task task = Task::open(catalog, {.task = "hellaswag", .data_root = root.path()});
  Prompt prompt = task.prompt(0);
  EXPECT_EQ(prompt.context.size(), 2798u);
  EXPECT_EQ(sha256_hex(prompt.context),
            "e8914d8605ea9328bc1235c66c5346ae42d6f1b35d4e80cdb96df2f30dfb8fa9");
  EXPECT_EQ(prompt.options[1].continuation, " bigins to play a song by timbaland on the piano.");
  EXPECT_EQ(prompt.shots_used, 10);
}

TEST(Gsm8k, ReferenceContinuation) {
  auto root = shared_datasets("gsm8k");
  if (!root) GTEST_SKIP() << missing_shared("gsm8k");
  Catalog catalog;
  Task task = Task::open(catalog, {.task = "gsm8k", .data_root = *root});
  Prompt prompt = task.prompt(429);
  EXPECT_EQ(prompt.gold_answer.continuation,
            " I = 6. Sister = 6/2 + 4 = 7. 6 + 7 = 13 letters. Together Indras and her sister have "
            "13 letters in their names. The answer is 13.");
  EXPECT_EQ(prompt.gold_texts, std::vector<std::string>{"13"});
}

// task-specs 0.3.
TEST(HashOrder, PublishedVectors) {
  EXPECT_EQ(sha256_hex("winogrande/0/0"),
            "515b21b4b27a8d7f5f73477be0cae0c8907559ff6059467de61d37959862a5c9");
  auto first = [](const char* task, int64_t rows, size_t k) {
    std::vector<int64_t> positions;
    for (int64_t i = 0; i < rows; ++i) positions.push_back(i);
    std::vector<size_t> order = hash_order(task, 0, positions);
    order.resize(k);
    return order;
  };
  using List = std::vector<size_t>;
  EXPECT_EQ(first("winogrande", 40398, 5), (List{10484, 19320, 9718, 22804, 9207}));
  EXPECT_EQ(first("arc_easy", 2251, 5), (List{1560, 1363, 1610, 1744, 1463}));
  EXPECT_EQ(first("arc_challenge", 1119, 5), (List{300, 594, 771, 346, 6}));
  EXPECT_EQ(first("hellaswag", 39905, 5), (List{9861, 27321, 8231, 39027, 20945}));
}

// task-specs 0.12: CPython's random.Random(1234).sample, first five of documents 0 and 1.
TEST(PythonSampler, PublishedVectors) {
  using List = std::vector<size_t>;
  auto draws = [](size_t n, size_t m) {
    PythonSampler sampler(1234);
    std::vector<List> both;
    for (int document = 0; document < 2; ++document) {
      List draw = sampler.sample(n, m);
      draw.resize(5);
      both.push_back(draw);
    }
    return both;
  };
  using Both = std::vector<List>;
  EXPECT_EQ(draws(2251, 25), (Both{{1805, 478, 30, 371, 143}, {1908, 280, 364, 2109, 188}}));
  EXPECT_EQ(draws(1119, 25), (Both{{902, 239, 15, 185, 71}, {954, 140, 182, 1054, 94}}));
  EXPECT_EQ(draws(39905, 11),
            (Both{{28883, 7657, 490, 5940, 38156}, {2019, 1038, 22681, 31735, 30379}}));
  EXPECT_EQ(draws(7473, 5), (Both{{6374, 3610, 957, 61, 742}, {7462, 6610, 4769, 286, 5501}}));
  EXPECT_EQ(draws(7473, 8)[1], (List{286, 5501, 5677, 687, 806}));
  EXPECT_EQ(draws(8, 8), (Both{{7, 0, 6, 5, 4}, {5, 1, 0, 7, 4}}));
}

}  // namespace
}  // namespace assay::tasks
