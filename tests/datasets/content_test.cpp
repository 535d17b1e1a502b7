// Content of whole splits and of tricky rows, against an independent reading.
//
// The digests were computed with CPython's csv, json and ast modules over the same files: SHA-256
// of one line a row, json.dumps([question, list, answer], ensure_ascii=False, separators=(",",
// ":")).
#include "base/digest.h"
#include "tests/datasets/specs.h"

namespace assay::datasets {
namespace {

struct Content {
  const char *task, *split, *question, *list, *answer, *sha256;
};

const Content kContents[] = {
    {"mmlu", "test", "question", "choices", "answer",
     "684c6aa8007588810efbf635c60056ac188c2fa1968185b34073b5ba1dc3eb03"},
    {"mmlu_redux", "test", "question", "choices", "answer",
     "10fa37f753713f41a78ad5fc86b36fd9c610af225dde018cc9c66ecabd096e93"},
    {"ceval", "val", "question", "choices", "answer",
     "6c819e6be093e8922c2ed206eb32bfa04437965f3febe64ada5eace54fa1ff2a"},
    {"cmmlu", "test", "question", "choices", "answer",
     "a4ba94fb88754c9013980d89387090e344e0031c3d3015340dc8f155e8802dc9"},
    {"race_middle", "test", "question", "choices", "answer",
     "b8cb1bf7abccadfd2de33b9cf5ac9a52c6d336cc2513cffbee7d082497aa067d"},
    {"race_high", "test", "question", "choices", "answer",
     "9432276d5471f0c36d783d8b3a181e2953f35a64966ee2c33a50474de838e610"},
    {"arc_easy", "test", "question", "choices", "answer",
     "0d7a486c9a2ae205ca63b5cbe8af6d9d01159c83ad229bb02b0fe735695e8893"},
    {"arc_challenge", "test", "question", "choices", "answer",
     "97b5356b25d4138f877def81c5af6826e357c42106be9daf9c1ef2fcf2227520"},
    {"c3", "dev", "question", "choices", "answer",
     "0c51471d3d1fbc6b4c323ad7e4bf71057f952c618a07b9a1094aaad0b5f61a33"},
    {"piqa", "valid", "goal", "choices", "answer",
     "2a2e6aa90cc9ae78429e1ac18a477c7e73fdf2a69522e72475695758c6e461ca"},
    {"triviaqa", "test", "question_raw", "answers", "",
     "28f29fac41fda45092f98bf3ac1b0096eb7f2ecbf3427419512206cd1d40e2d2"},
    {"cmrc2018", "dev", "question", "answers", "",
     "2c3a1cd3a525d80f2378d394718d93fed20c95fc91f07fb88b972f823c26cc66"},
};

TEST(Content, WholeSplitsEqualAnIndependentReading) {
  NEEDS_SHARED();
  for (const Content& content : kContents) {
    SCOPED_TRACE(content.task);
    Sha256 digest;
    for (const Document& d :
         load_split(spec_of(content.task), shared_root(), content.split).documents) {
      json::Writer w;
      w.begin_array().value(d.text(content.question)).begin_array();
      for (const std::string& s : d.list(content.list)) w.value(s);
      w.end_array();
      if (*content.answer) w.value(d.integer(content.answer));
      digest.update(w.end_array().take() + "\n");
    }
    EXPECT_EQ(digest.finish_hex(), content.sha256);
  }
}

TEST(Content, DropAnswersAndBbhTargets) {
  NEEDS_SHARED();
  Sha256 drop, bbh;
  for (const Document& d : load_split(spec_of("drop"), shared_root(), "contrast").documents) {
    json::Writer w;
    w.begin_array().value(d.text("question")).begin_array();
    w.value(d.text("answer_type")).value(d.text("answer_text")).end_array();
    drop.update(w.end_array().take() + "\n");
  }
  EXPECT_EQ(drop.finish_hex(), "8ddd8b583fc0134309e47633a3ba7a2d262479e498136ca8c84690d90e0c067d");
  for (const Document& d : load_split(spec_of("bbh"), shared_root(), "test").documents) {
    json::Writer w;
    w.begin_array().value(d.text("input")).begin_array().value(d.text("target")).end_array();
    bbh.update(w.end_array().take() + "\n");
  }
  EXPECT_EQ(bbh.finish_hex(), "b229012603caceec001be341333c03ccc928ec29a24cec432d68dd889ad711a2");
}

TEST(Content, TriviaQaInItsOfficialJson) {
  NEEDS_SHARED();
  const TemporaryDirectory root;
  fs::create_directories(root.path() / "triviaqa/qa");
  for (const char* file : {"web-dev.json", "wikipedia-dev.json"}) {
    fs::copy_file(shared_root() / "triviaqa/triviaqa_sample.json",
                  root.path() / "triviaqa/qa" / file);
  }
  const Split split = load_split(spec_of("triviaqa"), root.path(), "rc_nocontext");
  ASSERT_EQ(split.documents.size(), 2u);
  EXPECT_EQ(split.documents[0].list("answers"),
            (std::vector<std::string>{"Sunset Blvd", "West Sunset Boulevard", "Sunset Boulevard",
                                      "Sunset Bulevard", "Sunset Blvd."}));
  EXPECT_EQ(split.documents[1].id, "triviaqa:rc_nocontext:1");
}

Document row(const std::string& task, const std::string& split, const std::string& group,
             size_t i) {
  return load_split(spec_of(task), shared_root(), split,
                    group.empty() ? std::nullopt : std::optional(group))
      .documents.at(i);
}

TEST(Content, QuotesNewlinesAndNone) {
  NEEDS_SHARED();
  const Document magic = row("mmlu", "test", "college_computer_science", 25);
  EXPECT_EQ(magic.id, "mmlu:test:college_computer_science:25");
  EXPECT_EQ(magic.cluster, "college_computer_science");
  EXPECT_TRUE(
      magic.text("question").starts_with("\"Magic memory\"' has two operations: Read and Clear."));
  EXPECT_NE(magic.text("question").find('\n'), std::string::npos);
  const Document none = row("mmlu", "test", "college_computer_science", 10);
  EXPECT_EQ(none.list("choices"),
            (std::vector<std::string>{"None", "III only", "I and II only", "I, II, and III"}));
  const Document animals = row("triviaqa", "test", "", 17);
  EXPECT_EQ(animals.text("question"),
            "How many different animal shapes are there in the \"Animal Crackers\" cookie zoo?");
  EXPECT_EQ(
      animals.text("question_raw"),
      "\"How many different animal shapes are there in the \"\"Animal Crackers\"\" cookie zoo?\"");
  EXPECT_EQ(row("triviaqa", "test", "", 654).list("answers"),
            std::vector<std::string>{"S\u00c4\u0083o Paulo"});
}

TEST(Content, SeparatorsFreeTextAndBytesThatAreNotUtf8) {
  NEEDS_SHARED();
  const Document rover = row("mmlu_redux", "test", "astronomy", 0);
  EXPECT_EQ(rover.text("question"),
            "Why is the Mars Exploration Rover Spirit currently tilted towards the north?");
  EXPECT_EQ(rover.list("choices")[3], "Because one of its wheels broke.");
  EXPECT_EQ(rover.integer("answer"), 1);
  EXPECT_EQ(rover.text("error_type"), "Bad Question Clarity");
  const Split moral = load_split(spec_of("mmlu_redux"), shared_root(), "test", "moral_scenarios");
  bool found = false;
  for (const Document& d : moral.documents) {
    found |= d.text("question").find("my sister\uFFFDs head") != std::string::npos;
  }
  EXPECT_TRUE(found);
  ASSERT_EQ(moral.warnings.size(), 1u);
  EXPECT_TRUE(moral.warnings[0].ends_with("bytes that are not UTF-8, replaced by U+FFFD"));
}

TEST(Content, NestedLayouts) {
  NEEDS_SHARED();
  const Document race = row("race_high", "test", "", 0);
  EXPECT_EQ(race.cluster, race.text("id"));
  EXPECT_TRUE(race.text("id").starts_with("high"));
  EXPECT_EQ(race.list("choices").size(), 4u);
  size_t questions = 0;
  const Split passages = load_split(spec_of("race_high"), shared_root(), "test_passages");
  for (const Document& d : passages.documents) questions += 1 + d.list("earlier").size();
  EXPECT_EQ(questions, 3498u);
  EXPECT_EQ(passages.documents[0].text("article"), race.text("article"));
  const Document wino = row("winogrande", "dev", "", 0);
  EXPECT_EQ(wino.text("before") + wino.text("gold_option") + wino.text("after"),
            "Sarah was a much better surgeon than Maria so Maria always got the easier cases.");
  const Document c3 = row("c3", "dev", "", 0);
  EXPECT_TRUE(c3.text("passage").starts_with("梅兰芳是中国著名的京剧演员。"));
  const Document squad = row("cmrc2018", "trial", "", 0),
                 plain = row("cmrc2018", "trial_plain", "", 0);
  EXPECT_EQ(squad.text("question"), plain.text("question"));
  EXPECT_EQ(squad.cluster, "TRIAL_800");
  EXPECT_EQ(plain.cluster, "TRIAL_800");
  const Document wsc = row("clue_wsc", "clue_dev", "", 0);
  EXPECT_EQ(wsc.text("span1_text"), "洋人");
  EXPECT_EQ(wsc.integer("span2_index"), 35);
  const Document shot = row("mgsm", "exemplars", "en", 0);
  EXPECT_EQ(shot.integer("number"), 11);
  EXPECT_TRUE(shot.text("question").starts_with("Question: Roger has 5 tennis balls."));
  // Two labels in one cell of AGIEval's jec-qa; null stays null.
  const Document law = row("agieval", "prompts", "jec-qa-ca", 0);
  EXPECT_EQ(law.list("label"), (std::vector<std::string>{"A", "D"}));
  EXPECT_FALSE(law.has("passage"));
  EXPECT_TRUE(law.text("explanation").starts_with("A. 这个选项是正确的。"));
}

TEST(Content, DropKeepsEveryAcceptedAnswer) {
  NEEDS_SHARED();
  // drop_train.sample.json, first question: "How many more years did ... " with a number answer.
  const Split train = load_split(spec_of("drop"), shared_root(), "train");
  std::set<std::string> types;
  for (const Document& d : train.documents) {
    types.insert(d.text("answer_type"));
    EXPECT_FALSE(d.list("golds").empty());
    EXPECT_EQ(d.cluster, d.text("passage_id"));
  }
  EXPECT_TRUE(types.contains("number"));
  EXPECT_TRUE(types.contains("span"));
}

TEST(Content, LiveCodeBenchTestsAreDecoded) {
  NEEDS_SHARED();
  const Document d = row("lcb_base", "sample", "", 0);
  EXPECT_EQ(d.text("test_kind"), "stdin");
  EXPECT_EQ(d.text("func_name"), "");
  ASSERT_EQ(d.list("test_inputs").size(), d.list("test_outputs").size());
  EXPECT_EQ(d.list("test_inputs")[0], "6\nabc\nacb\nbac\nbca\ncab\ncba\n");
  EXPECT_EQ(d.list("test_outputs")[0], "YES\nYES\nYES\nNO\nNO\nYES\n");
  // All tests of this problem are in input_output_sample.jsonl, in the same order.
  const auto all = json::Document::parse(
      [] {
        const std::string text =
            read_file(shared_root() / "livecodebench/input_output_sample.jsonl");
        return text.substr(0, text.find('\n'));
      }(),
      "input_output_sample.jsonl");
  EXPECT_EQ(d.list("test_inputs").size(), d.list("test_outputs").size());
  EXPECT_GE(all.root().at("input_output").at("inputs").size(), d.list("test_inputs").size() - 1);
  EXPECT_FALSE(d.has("private_test_cases"));
}

}  // namespace
}  // namespace assay::datasets
