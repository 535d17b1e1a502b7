// Variants of other frameworks and other exemplar sources, byte for byte. The digests and counts
// were computed in Python from OpenCompass 0.5.4's configurations and the publishers' files; short
// prompts are spelled out from the specification's rows.
#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "tasks/fields.h"
#include "tasks/task.h"
#include "tests/support/paths.h"
#include "tests/tasks/shared_data.h"

namespace assay::tasks {
namespace {

namespace fs = std::filesystem;

Task open(const std::string& task, const std::string& variant, const fs::path& root,
          const std::string& group = "") {
  static const Catalog catalog;
  return Task::open(catalog, {.task = task, .variant = variant, .group = group, .data_root = root});
}

fs::path layouts() { return test_paths::source() / "tests/fixtures/layouts"; }

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  write_file_atomically(path, text);
}

double graded(const Task& task, size_t i, const std::string& text, const std::string& metric) {
  Outputs outputs;
  outputs.generations = {{text, Finish::stop, 0}};
  outputs.gold_answer = ContinuationScore{.logprob = -1, .tokens = 1};
  return task.grade(i, outputs).metrics.at(metric);
}

#define NEEDS(task)                        \
  const auto root = shared_datasets(task); \
  if (!root) GTEST_SKIP() << "SKIPPED: " << missing_shared(task)

TEST(Variants, DropOfOpenCompass) {
  NEEDS("drop");
  const Task task = open("drop", "oc", *root);
  const Prompt prompt = task.prompt(1);
  EXPECT_EQ(prompt.context.size(), 5301u);
  EXPECT_EQ(sha256_hex(prompt.context),
            "354ca30cc921bb7fa851273cc10b24a133aa98bf5590facdc95cff5c3b38e77d")
      << prompt.context;
  EXPECT_EQ(prompt.generation.stop,
            (std::vector<std::string>{"---", "Passage", "Question", "You will be asked"}));
  // The answer after "Answer:" or, without one, everything; right if one contains the other.
  EXPECT_EQ(prompt.gold_answer.continuation, " 3");
  EXPECT_EQ(graded(task, 1, " He kicked 3.", "acc"), 1);
  EXPECT_EQ(graded(task, 1, " 7 and 3\nanswer : 7", "acc"), 0);
  EXPECT_EQ(graded(task, 1, " thinking\nAnswer: the 3\n", "acc"), 1);
  EXPECT_EQ(graded(task, 1, "", "acc"), 0);
}

TEST(Variants, CruxevalOfOpenCompass) {
  NEEDS("cruxeval_o");
  const Task task = open("cruxeval_o", "oc", *root);
  const Prompt prompt = task.prompt(0);
  const std::string code = task.document(0).text("code"), input = task.document(0).text("input");
  EXPECT_EQ(
      prompt.context,
      "Based on the given Python code, which may contain errors, complete the assert statement "
      "with the output when executing the code on the given test case. Do NOT output any extra "
      "information, even if the function is incorrect or incomplete. Output \"# done\" after "
      "the assertion.\n\ndef f(n):\n    return n\nassert f(17) == 17 # done\n\n" +
          code + "\nassert f(" + input + ") ==");
  const std::string output = task.document(0).text("output");
  EXPECT_EQ(prompt.gold_answer.continuation, " " + output + " ");
  const auto programs = task.programs(0, {{" " + output + " \nx", Finish::stop, 0}});
  ASSERT_EQ(programs.size(), 1u);
  const auto plain = open("cruxeval_o", "ds", *root).programs(0, {{output, Finish::stop, 0}});
  EXPECT_EQ(programs[0].program, plain[0].program);
  EXPECT_FALSE(programs[0].refused);
}

// Prompts rendered in Python from OpenCompass's own configurations.
TEST(Variants, MathematicsOfOpenCompass) {
  NEEDS("gsm8k");
  const Task words = open("gsm8k", "oc", *root);
  const Prompt prompt = words.prompt(0);
  EXPECT_EQ(prompt.context.size(), 4930u);
  EXPECT_EQ(sha256_hex(prompt.context),
            "86493f6e082a55fb2a314e52c01aba1a5400bf64e73c97734dbb311a064fc05a")
      << prompt.context;
  EXPECT_EQ(prompt.generation.stop, std::vector<std::string>{"Question"});
  EXPECT_EQ(prompt.generation.max_new_tokens, 512);
  const std::string reference = prompt.gold_answer.continuation;
  EXPECT_TRUE(reference.starts_with("\nJanet sells 16 - 3 - 4 = 9 duck eggs a day.\n")) << reference;
  EXPECT_TRUE(reference.ends_with(" at the farmer’s market.\nThe answer is 18")) << reference;
  EXPECT_EQ(graded(words, 0, "5 or 6, 18.0 in all", "em"), 1);
  EXPECT_EQ(graded(words, 0, "\nThe answer is $1,018", "em"), 1);  // commas separate: 018
  EXPECT_EQ(graded(words, 0, "19 Question: 18", "em"), 0);
}

TEST(Variants, MathOfOpenCompass) {
  NEEDS("math");
  const Task task = open("math", "oc", *root);
  const Prompt prompt = task.prompt(0);
  EXPECT_EQ(prompt.context.size(), 1879u);
  EXPECT_EQ(sha256_hex(prompt.context),
            "f9e79218a29a008be8210b871ecee33e3e38c56cecd3c3a7c4730aa3907b7280")
      << prompt.context;
  EXPECT_EQ(prompt.generation.stop, std::vector<std::string>{"Problem"});
  EXPECT_EQ(prompt.gold_texts, std::vector<std::string>{"2"});
  EXPECT_EQ(graded(task, 0, " so $x = \\boxed{{2.00}}$.", "acc"), 1);
  EXPECT_EQ(graded(task, 0, "Two poles. The final answer is $2$. I hope", "acc"), 1);
  EXPECT_EQ(graded(task, 0, "Three poles. The answer is 2 poles", "acc"), 0);
}

TEST(Variants, MbppOfOpenCompass) {
  NEEDS("mbpp");
  const Task task = open("mbpp", "oc", *root);
  EXPECT_EQ(task.size(), 257u);
  const Prompt prompt = task.prompt(0);
  EXPECT_EQ(prompt.context.size(), 1822u);
  EXPECT_EQ(sha256_hex(prompt.context),
            "6571b097d2a7ada26c25f0bf7cd007df59b80b5115eb2478fb380c8e72110911")
      << prompt.context;
  EXPECT_TRUE(prompt.generation.stop.empty());
  EXPECT_EQ(prompt.generation.max_new_tokens, 512);
  EXPECT_TRUE(prompt.gold_answer.continuation.starts_with("\n\n[BEGIN]\n 'def remove_Occ(s,ch):"));
}

TEST(Variants, MmluReduxOne) {
  NEEDS("mmlu_redux");
  const Task task = open("mmlu_redux", "v1", *root);
  EXPECT_EQ(task.groups().size(), 30u);
  EXPECT_EQ(task.size(), 2724u);
}

TEST(Variants, CmathOwnGrade) {
  NEEDS("cmath");
  const Task task = open("cmath", "same_grade", *root);
  const Prompt prompt = task.prompt(0);
  EXPECT_EQ(sha256_hex(prompt.context),
            "f87291f3bd8a7a90b7229dc918b011335be637f2a241aa4e88f37a579977b0e2")
      << prompt.context;
}

TEST(Variants, WinograndeLettersOfOlmes) {
  NEEDS("winogrande");
  const Task task = open("winogrande", "olmes_letters", *root);
  const Prompt prompt = task.prompt(0);
  EXPECT_TRUE(
      prompt.context.ends_with("\n\nFill in the blank: Sarah was a much better surgeon than Maria "
                               "so ___ always got the easier "
                               "cases.\n A. Sarah\n B. Maria\nAnswer:"))
      << prompt.context;
  EXPECT_EQ(prompt.options[1].continuation, " B");
  EXPECT_EQ(prompt.gold_options, std::vector<int>{1});
  EXPECT_EQ(prompt.shots_used, 5);
  // A shot ends in the letter.
  EXPECT_NE(prompt.context.find("\nAnswer: "), std::string::npos);
}

TEST(Variants, EnglishKeyInCevalsHeader) {
  NEEDS("ceval");
  const Prompt prompt = open("ceval", "official_en", *root, "computer_network").prompt(0);
  EXPECT_TRUE(prompt.context.starts_with(
      "以下是中国关于computer_network考试的单项选择题，请选出其中的正确答案。\n\n"));
  EXPECT_EQ(prompt.options[0].continuation, "A");
}

TEST(Variants, Predecessors) {
  NEEDS("cmrc2018");
  const Task cmrc = open("cmrc2018", "preceding", *root);
  EXPECT_EQ(cmrc.prompt(0).shots_used, 0);
  EXPECT_EQ(cmrc.prompt(1).exemplars, std::vector<std::string>{cmrc.document(0).id});
  const Task drop = open("drop", "preceding", *root);
  EXPECT_EQ(drop.prompt(0).shots_used, 0);
  EXPECT_EQ(drop.prompt(2).exemplars.size(), 2u);
  EXPECT_EQ(
      drop.prompt(6).exemplars,
      (std::vector<std::string>{drop.document(0).id, drop.document(1).id, drop.document(2).id}));
}

std::string hellaswag_row(int i) {
  const std::string n = std::to_string(i);
  return R"({"ind": )" + n +
         R"(, "activity_label": "Rowing", "ctx_a": "A man sits.", "ctx_b": "he", )"
         R"("ctx": "A man sits. he", "split": "val", "split_type": "indomain", "label": 1, )"
         R"("source_id": "activitynet~v_x", "endings": ["sings )" +
         n + R"(.", "rows )" + n +
         R"(.", "[step] sleeps.", "eats."]})"
         "\n";
}

TEST(Variants, HellaswagWithLetters) {
  TemporaryDirectory root;
  std::string train;
  for (int i = 0; i < 12; ++i) train += hellaswag_row(i);
  write(root.path() / "hellaswag/hellaswag_train.jsonl", train);
  write(root.path() / "hellaswag/hellaswag_val.jsonl", hellaswag_row(50));
  const auto block = [](int i, const char* mark) {
    const std::string n = std::to_string(i), m = mark;
    return "A" + m + " sings " + n + ".\n" + "B" + m + " rows " + n + ".\n" + "C" + m +
           "  sleeps.\n" + "D" + m + " eats.\n";
  };
  std::string expected =
      "Continue the following text without adding any additional information or formatting:\n";
  for (int i = 0; i < 10; ++i) {
    expected += "A man sits. He\n" + block(i, ")") + "What is the right option?\nB\n\n";
  }
  expected += "A man sits. He\n" + block(50, ")") + "What is the right option?";
  const Prompt oc = open("hellaswag", "oc_10shot", root.path()).prompt(0);
  EXPECT_EQ(oc.context, expected);
  EXPECT_EQ(oc.options[1].continuation, "\nB");
  EXPECT_TRUE(oc.whole);
  const Prompt olmes = open("hellaswag", "olmes_letters", root.path()).prompt(0);
  EXPECT_TRUE(
      olmes.context.ends_with("\n\nRowing: A man sits. He\nChoose the best continuation:\n A. "
                              "sings 50.\n B. rows 50.\n C.  "
                              "sleeps.\n D. eats.\nAnswer:"))
      << olmes.context;
  EXPECT_EQ(olmes.shots_used, 5);
  EXPECT_EQ(olmes.options[1].continuation, " B");
}

TEST(Variants, RaceFewShotOfOpenCompass) {
  TemporaryDirectory root;
  const auto file = [](int n) {
    return R"({"id": "high)" + std::to_string(n) + R"(.txt", "article": "Text )" +
           std::to_string(n) + R"(.", "questions": ["Q)" + std::to_string(n) +
           R"(?", "Why?"], "options": [["a", "b", "c", "d"], ["e", "f", "g", "h"]], "answers": ["C", "A"]})";
  };
  for (int n : {2, 10, 30}) {
    write(root.path() / ("race/RACE/dev/high/" + std::to_string(n) + ".txt"), file(n));
  }
  write(root.path() / "race/RACE/test/high/7.txt", file(7));
  const Prompt prompt = open("race_high", "oc_3shot", root.path()).prompt(0);
  const auto block = [](const std::string& n) {
    return "Article:\nText " + n + ".\nQuestion:\nQ" + n + "?\nA. a\nB. b\nC. c\nD. d\nAnswer:";
  };
  // Rows 0, 2, 4: the first questions of the three files.
  EXPECT_EQ(prompt.context,
            block("2") + " C\n" + block("10") + " C\n" + block("30") + " C\n" + block("7"));
  EXPECT_EQ(prompt.options[2].continuation, " C");
}

TEST(Variants, ClueWscAgainstTheOtherSpans) {
  TemporaryDirectory root;
  const auto row = [](const std::string& span, const std::string& text, const char* label) {
    return R"({"target": {"span2_index": 9, "span1_index": 0, "span1_text": ")" + span +
           R"(", "span2_text": "他"}, "idx": 0, "label": ")" + label + R"(", "text": ")" + text +
           "\"}\n";
  };
  write(root.path() / "cluewsc/test_public.json",
        row("小明", "甲文", "false") + row("小红", "甲文", "true") + row("小刚", "乙文", "true") +
            row("老师", "甲文", "false") + row("小红", "甲文", "false"));
  // The real exemplars' labels are all true.
  std::string train = read_file(layouts() / "cluewsc/train_0.json");
  for (size_t at; (at = train.find("\"false\"")) != std::string::npos;)
    train.replace(at, 7, "\"true\"");
  write(root.path() / "cluewsc/train_0.json", train);
  const Task task = open("clue_wsc", "choice", root.path());
  ASSERT_EQ(task.size(), 1u);  // 乙文 has one span only
  const Prompt prompt = task.prompt(0);
  ASSERT_EQ(prompt.options.size(), 3u);
  EXPECT_EQ(prompt.options[0].continuation, "\n小明");
  EXPECT_EQ(prompt.options[2].continuation, "\n老师");
  EXPECT_EQ(prompt.gold_options, std::vector<int>{1});
  const Prompt generated = open("clue_wsc", "ds", root.path()).prompt(1);
  EXPECT_EQ(prompt.context, generated.context);  // "context as above"
}

// The five exemplars of each language as OpenCompass's configuration has them, its rounds joined as
// it joins them for models without a chat template.
TEST(Variants, MmmluOfOpenCompass) {
  const std::pair<const char*, std::pair<size_t, const char*>> kExpected[] = {
      {"DE_DE", {3538, "6f19ffc7241cea4cad1d6e8e90e276e2a7d97b2d04e00267a2b520e5dc20b379"}},
      {"AR_XY", {4443, "67b83971ac16f8f4c856af2fa99bd8bc278dc94c5b67e372c8aa6b894489244d"}},
      {"FR_FR", {3704, "0858287cd2be82cdef7bf2f5ff80e4e60b4ee19303528ccb07ecf222ac9d6613"}},
      {"YO_NG", {3221, "dd5bea6f784a9c7458b4a8c1ad7bff9d037e1ffee1c0c94ae66338369fcd7843"}},
      {"ZH_CN", {2870, "de14da17ee99078f1f2ff2820f808ac383dcfab35b4183e3f52f6d0b2b61b678"}}};
  for (const auto& [locale, wanted] : kExpected) {
    const Task task = open("mmmlu", "oc", layouts(), locale);
    EXPECT_EQ(task.size(), 13u);
    const Prompt prompt = task.prompt(0);
    EXPECT_EQ(prompt.context.size(), wanted.first) << locale;
    EXPECT_EQ(sha256_hex(prompt.context), wanted.second) << locale << "\n" << prompt.context;
  }
  const Task task = open("mmmlu", "oc", layouts(), "DE_DE");
  EXPECT_EQ(task.prompt(0).gold_answer.continuation, "\nB");
  EXPECT_EQ(graded(task, 0, "\nB\n\nEs geht um", "exact_match"), 1);
  EXPECT_EQ(graded(task, 0, " A", "exact_match"), 0);
}

TEST(Variants, MmmluExemplarSources) {
  TemporaryDirectory root;
  fs::create_directories(root.path() / "mmmlu");
  fs::copy(layouts() / "mmmlu", root.path() / "mmmlu", fs::copy_options::recursive);
  for (const std::string subject : {"abstract_algebra", "anatomy"}) {
    std::string rows;
    for (int i = 0; i < 5; ++i) rows += subject + " " + std::to_string(i) + "?,w,x,y,z,C\n";
    write(root.path() / ("mmlu/data/dev/" + subject + "_dev.csv"), rows);
  }
  const Task english = open("mmmlu", "english_dev", root.path());
  EXPECT_EQ(english.size(), 14u * 13);
  Prompt prompt = english.prompt(12);  // a row of anatomy
  EXPECT_TRUE(prompt.context.starts_with(
      "The following are multiple choice questions (with answers) about anatomy.\n\nanatomy 0?\nA. "
      "w\nB. x\nC. y\nD. z\nAnswer: C\n\nanatomy 1?\n"))
      << prompt.context;
  EXPECT_EQ(prompt.shots_used, 5);

  std::string german = ",Question,A,B,C,D,Answer,Subject\n";
  for (int i = 0; i < 5; ++i)
    german += std::to_string(i) + ",Frage " + std::to_string(i) + "?,w,x,y,z,D,anatomy\n";
  write(root.path() / "mmmlu/dev/mmlu_DE-DE.csv", german);
  prompt = open("mmmlu", "translated_dev", root.path(), "DE_DE").prompt(12);
  EXPECT_TRUE(
      prompt.context.starts_with("The following are multiple choice questions (with answers) about "
                                 "anatomy.\n\nFrage 0?\nA. w\nB. "
                                 "x\nC. y\nD. z\nAnswer: D\n\nFrage 1?\n"))
      << prompt.context;

  const Task localized = open("mmmlu", "localized", layouts());
  EXPECT_EQ(localized.size(), 14u * 3);
  EXPECT_TRUE(
      open("mmmlu", "localized", layouts(), "DE_DE").prompt(0).context.ends_with("\nAntwort:"));
  EXPECT_TRUE(
      open("mmmlu", "localized", layouts(), "ZH_CN").prompt(0).context.ends_with("\n答案："));
  EXPECT_TRUE(
      open("mmmlu", "localized", layouts(), "FR_FR").prompt(0).context.ends_with("\nRéponse :"));
}

// "olmes" of tasks whose OLMES number is the larger of two formats stands for both.
TEST(Variants, OneNameForSeveral) {
  const Catalog catalog;
  const auto choices = catalog.expand("mmlu@olmes,arc_easy:x@olmes");
  ASSERT_EQ(choices.size(), 4u);
  EXPECT_EQ(choices[0].variant, "olmes_letters");
  EXPECT_EQ(choices[1].variant, "cloze");
  EXPECT_EQ(choices[3].variant, "olmes_cloze");
  EXPECT_EQ(choices[3].group, "x");
  for (const char* task : {"mmlu", "arc_easy", "arc_challenge", "hellaswag", "piqa", "winogrande"}) {
    ASSERT_EQ(catalog.info(task).sets.size(), 1u) << task;
    EXPECT_EQ(catalog.info(task).sets[0].name, "olmes");
    EXPECT_TRUE(catalog.info(task).sets[0].larger) << task;
  }
  EXPECT_FALSE(catalog.info("agieval").sets.at(0).larger);
  EXPECT_EQ(catalog.expand("mmlu_redux@subsets").size(), 3u);
  // The specification wants its three numbers always.
  EXPECT_EQ(catalog.expand("mmlu_redux").size(), 1u);
  const auto always = catalog.expand("mmlu_redux,mmlu", {}, true);
  ASSERT_EQ(always.size(), 4u);
  EXPECT_EQ(always.front().variant, "ds");
  EXPECT_EQ(always[1].variant, "corrected");
  EXPECT_EQ(always[2].variant, "all");
  EXPECT_EQ(catalog.expand("mmlu_redux@ds", {}, true).size(), 1u);
  EXPECT_EQ(catalog.expand("mmlu_redux", "ds", true).size(), 1u);
  EXPECT_THROW(catalog.file("mmlu", "olmes"), Error);
  try {
    catalog.expand("mmlu@lmevl");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean lmeval?"), std::string::npos)
        << error.what();
  }
}

// CPython: sorted(random.Random(1234).sample(range(n), 1000)), first three, last and sum.
TEST(Variants, SampleOfOlmes) {
  NEEDS("piqa");
  const auto rows = [](const Task& task) {
    std::vector<int64_t> rows;
    for (size_t i = 0; i < task.size(); ++i) rows.push_back(task.document(i).source_index);
    return rows;
  };
  const auto sum = [](const std::vector<int64_t>& rows) {
    return std::accumulate(rows.begin(), rows.end(), int64_t{0});
  };
  for (const char* variant : {"olmes_letters", "olmes_cloze"}) {
    const auto piqa = rows(open("piqa", variant, *root));
    ASSERT_EQ(piqa.size(), 1000u);
    EXPECT_EQ((std::vector(piqa.begin(), piqa.begin() + 3)), (std::vector<int64_t>{3, 5, 6}));
    EXPECT_EQ(piqa.back(), 1836);
    EXPECT_EQ(sum(piqa), 915617);
    const auto arc = rows(open("arc_easy", variant, *root));
    ASSERT_EQ(arc.size(), 1000u);
    EXPECT_EQ((std::vector(arc.begin(), arc.begin() + 3)), (std::vector<int64_t>{3, 6, 10}));
    EXPECT_EQ(arc.back(), 2370);
    EXPECT_EQ(sum(arc), 1202557);
  }
  EXPECT_EQ(open("arc_challenge", "olmes_cloze", *root).size(), 1172u);
}

// The curated exemplars, as the authors' harness prints them.
TEST(Variants, ExemplarsOfOlmes) {
  NEEDS("piqa");
  const Prompt piqa = open("piqa", "olmes_cloze", *root).prompt(0);
  EXPECT_TRUE(piqa.context.starts_with(
      "Goal: how do you stab something?\nAnswer: stick a sharp object through it.\n\n"
      "Goal: how do you shake something?\nAnswer: move it up and down and side to side quickly.\n\n"
      "Goal: Clean tires\nAnswer: Pour water, scrape off caked on dirt."))
      << piqa.context;
  EXPECT_EQ(piqa.shots_used, 5);
  const Prompt blank = open("winogrande", "olmes_cloze", *root).prompt(0);
  EXPECT_TRUE(blank.context.starts_with(
      "John moved the couch from the garage to the backyard to create space. The garage is small.\n\n"
      "Dennis drew up a business proposal to present to Logan because Dennis wants his investment.\n\n"))
      << blank.context;
  EXPECT_EQ(blank.options[0].continuation, " always got the easier cases.");
  const Prompt letters = open("winogrande", "olmes_letters", *root).prompt(0);
  EXPECT_NE(letters.context.find("Katrina and now ___ owes a favor.\n A. Felicia\n B. Katrina\nAnswer: B\n\n"),
            std::string::npos)
      << letters.context;
  const Prompt endings = open("hellaswag", "olmes_letters", *root).prompt(0);
  EXPECT_NE(endings.context.find(
                "Baking cookies: A female chef in white uniform shows a stack of baking pans in a large kitchen "
                "presenting them. The pans are filled with pastries and loaded into the oven. A knife\n"
                "Choose the best continuation:\n A. is seen moving on a board and cutting out its contents.\n"
                " B. hits the peeled cheesecake, followed by sliced custard and still cooked ice cream.\n"
                " C. etches a shape into the inside of the baked pans.\n"
                " D. is used to cut cylinder shaped dough into rounds.\nAnswer: D\n\n"),
            std::string::npos)
      << endings.context;
  // The cleaning of OLMES leaves the space of an ending that began with a tag.
  EXPECT_NE(open("hellaswag", "olmes_cloze", *root).prompt(0).context.find("what has occurred.  Water changes state"),
            std::string::npos);
}

// agieval_mixed_0fa998 on rows of the file, its rounds joined as for models without a chat template.
TEST(Variants, AgiEvalOfOpenCompass) {
  NEEDS("agieval");
  const Task physics = open("agieval", "oc_gen", *root, "gaokao-physics");
  const Fields fields(physics.document(0));
  std::string expected = "以下是一道中国高考物理选择题，请选择正确的答案。\n" + fields.text("question");
  for (const std::string& option : fields.texts("options")) expected += "\n" + option;
  const Prompt prompt = physics.prompt(0);
  EXPECT_EQ(prompt.context, expected + "\n答案是： ");
  EXPECT_EQ(prompt.generation.max_new_tokens, 1024);
  EXPECT_TRUE(prompt.generation.stop.empty());
  const std::string gold = prompt.gold_texts.at(0);
  EXPECT_EQ(graded(physics, 0, " 选 " + gold + "，因为E", "em"), 1);
  EXPECT_EQ(graded(physics, 0, "ABCD" == gold ? "A" : "ABCD", "em"), 0);
  const Task math = open("agieval", "oc_gen", *root, "math");
  const Prompt cloze = math.prompt(0);
  EXPECT_EQ(cloze.context, "The following is a Math question. Please select the correct answer.\n" +
                               math.document(0).text("question") + "The answer is ");
  EXPECT_EQ(graded(math, 0, "We get $x = " + cloze.gold_texts.at(0) + "$.", "em"), 1);
  const Task law = open("agieval", "oc_ppl", *root, "logiqa-en");
  const Fields logic(law.document(0));
  expected = "The following is a Logic Reasoning question. Please select the correct answer.\n" +
             logic.text("passage") + logic.text("question");
  for (const std::string& option : logic.texts("options")) expected += "\n" + option;
  EXPECT_EQ(law.prompt(0).context, expected + "\nThe answer is");
  EXPECT_EQ(law.prompt(0).options[1].continuation, " B");
}

TEST(Variants, QuestionAnsweringOfOpenCompass) {
  NEEDS("triviaqa");
  const Task task = open("triviaqa", "oc", *root);
  const std::string alias = task.prompt(0).gold_texts.at(0);
  EXPECT_EQ(graded(task, 0, " The answer is the " + alias + "!\nQ: next", "contains"), 1);
  EXPECT_EQ(graded(task, 0, " " + alias + ". The answer is zzz", "contains"), 0);
  EXPECT_EQ(graded(task, 0, " zzz\n" + alias, "contains"), 0);
  EXPECT_EQ(graded(task, 0, " zzz, " + alias, "contains"), 0);  // cut at the comma
}

TEST(Variants, MgsmOfOpenCompass) {
  NEEDS("mgsm");
  const Task task = open("mgsm", "oc", *root, "de");
  const Prompt prompt = task.prompt(0);
  EXPECT_EQ(prompt.context,
            "Löse dieses Mathematikproblem. Gib die Schritte zur Begründung an, bevor du die endgültige Antwort in der "
            "letzten Zeile alleine im Format \"Antwort:\" gibst. Füge nichts anderes als die ganzzahlige Antwort nach "
            "\"Antwort:\" hinzu.\n\n" +
                task.document(0).text("question"));
  const std::string gold = prompt.gold_texts.at(0);
  EXPECT_EQ(graded(task, 0, "1 + 1\nAntwort: 5 Eier, also " + gold + ".", "em"), 1);
  EXPECT_EQ(graded(task, 0, "also " + gold, "em"), 0);  // without the word nothing is found
  EXPECT_EQ(graded(task, 0, "Antwort: " + gold + " Antwort: 1", "em"), gold == "1" ? 1 : 0);
}

TEST(Variants, CmathOfDeepSeekMath) {
  NEEDS("cmath");
  const Prompt prompt = open("cmath", "dsmath", *root).prompt(0);
  EXPECT_EQ(prompt.shots_used, 6);
  EXPECT_TRUE(prompt.context.starts_with(
      "问题：芳芳买了一本书有99页，看了90页，她还剩多少页没有看？\n答案：还剩的没有看的页数=书的总页数-"
      "芳芳看了的页数，99-90=9。所以答案是：9。\n\n\n问题：张师傅"))
      << prompt.context;
  EXPECT_TRUE(prompt.context.ends_with("\n答案："));
}

// MMLU-Redux: a correction counts only where the published answer was found wrong (two rows of the
// files are marked ok and carry another answer).
TEST(Variants, MmluReduxCorrected) {
  NEEDS("mmlu_redux");
  const Task ok = open("mmlu_redux", "ds", *root), corrected = open("mmlu_redux", "corrected", *root);
  std::map<std::string, std::vector<int>> golds;
  for (size_t i = 0; i < ok.size(); ++i) golds[ok.document(i).id] = ok.prompt(i).gold_options;
  size_t shared = 0;
  for (size_t i = 0; i < corrected.size(); ++i) {
    const auto own = golds.find(corrected.document(i).id);
    if (own == golds.end()) continue;
    ++shared;
    EXPECT_EQ(corrected.prompt(i).gold_options, own->second) << own->first;
  }
  EXPECT_EQ(shared, ok.size());
  EXPECT_GT(corrected.size(), ok.size());
}

TEST(Variants, WindowsOfThePile) {
  EXPECT_EQ(open("pile_test", "ds", layouts()).stride(), 0);
  EXPECT_EQ(open("pile_test", "w2048", layouts()).max_len(), 2048);
  const Task stride = open("pile_test", "stride2048", layouts());
  EXPECT_EQ(stride.max_len(), 4096);
  EXPECT_EQ(stride.stride(), 2048);
}

}  // namespace
}  // namespace assay::tasks
