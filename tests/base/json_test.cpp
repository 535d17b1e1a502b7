#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace assay::json {
namespace {

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Json, ErrorsNameThePlace) {
  const Document d = Document::parse(R"({"a":{"b":[1,"x",2.5]}})", "f.json");
  EXPECT_EQ(d.root().at("a").at("b")[0].integer(), 1);
  EXPECT_EQ(message_of([&] { (void)d.root().at("a").at("b")[1].integer(); }),
            "f.json: a.b[1]: expected an integer, found a string");
  EXPECT_EQ(message_of([&] { (void)d.root().at("a").at("c"); }), "f.json: a: lacks the key \"c\"");
  EXPECT_EQ(message_of([&] { (void)d.root().at("a").at("b")[2].integer(); }),
            "f.json: a.b[2]: expected an integer, found a number");
}

TEST(Json, SyntaxErrorsNameLineAndColumn) {
  const std::string message = message_of([] { Document::parse("{\n  \"a\": tru\n}", "f.json"); });
  EXPECT_NE(message.find("f.json: not valid JSON"), std::string::npos) << message;
  EXPECT_NE(message.find("line 2"), std::string::npos) << message;
}

TEST(Json, DeepNestingIsNoStackOverflow) {
  EXPECT_NE(message_of([] { Document::parse(std::string(1000000, '['), "deep"); }), "no error");
}

TEST(Json, WriterRoundTripsAndRefusesNothing) {
  Writer w;
  w.begin_object().member("s", "a\n\xFF").member("x", 0.1).member("nan", std::nan(""));
  w.key("list").begin_array().value(1).value(true).null().end_array().end_object();
  EXPECT_EQ(w.take(), "{\"s\":\"a\\n\uFFFD\",\"x\":0.1,\"nan\":null,\"list\":[1,true,null]}");
}

TEST(Json, WriterTakesAnyOptional) {
  Writer w;
  w.begin_object()
      .member("i", std::optional<int64_t>(-3))
      .member("s", std::optional<std::string>("x"));
  w.member("b", std::optional<bool>(false)).member("d", std::optional<double>());
  w.member("u", std::optional<uint64_t>()).end_object();
  EXPECT_EQ(w.take(), R"({"i":-3,"s":"x","b":false,"d":null,"u":null})");
}

TEST(Json, SortedDumpIsCanonical) {
  EXPECT_EQ(Document::parse(R"({"b":1,"a":{"d":[],"c":"é"}})", "x").root().dump(true),
            R"({"a":{"c":"é","d":[]},"b":1})");
}

TEST(Json, LinesSplitAtLfOnly) {
  std::vector<std::string> seen;
  for_each_line("\"a\u2028b\"\n\n\"c\"", "x", [&](Value v, size_t line) {
    seen.push_back(std::to_string(line) + std::string(v.string()));
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"1a\u2028b", "3c"}));
}

}  // namespace
}  // namespace assay::json
