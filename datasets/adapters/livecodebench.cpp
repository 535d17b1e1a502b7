#include "base/error.h"
#include "datasets/adapters.h"
#include "datasets/pickle.h"

namespace assay::datasets {

namespace {

constexpr size_t kMaxTests = size_t{1} << 30;  // the largest problem's tests are near 200 MB

// The text of a JSON list of tests, whichever of the two ways it is stored in.
std::string tests_text(const std::string& stored, const std::string& where) {
  const size_t first = stored.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && stored[first] == '[') return stored;
  return unpickle_string(inflate_zlib(decode_base64(stored, where), kMaxTests, where), where);
}

}  // namespace

void adapt_livecodebench(Fields& fields, const Place& place) {
  std::vector<std::string> inputs, outputs;
  std::string kind, function;
  for (const char* name : {"public_test_cases", "private_test_cases"}) {
    const auto it = fields.find(name);
    if (it == fields.end()) continue;
    const std::string where = place.where + ": " + name;
    const auto* stored = std::get_if<std::string>(&it->second);
    if (!stored) throw_bad_input("is not text", where);
    const json::Document tests = json::Document::parse(tests_text(*stored, where), where);
    tests.root().for_each_element([&](json::Value test) {
      inputs.emplace_back(test.at("input").string());
      outputs.emplace_back(test.at("output").string());
      const std::string this_kind(test.at("testtype").string());
      if (this_kind != "stdin" && this_kind != "functional") {
        test.at("testtype").fail("expected stdin or functional");
      }
      if (!kind.empty() && kind != this_kind) test.fail("mixes kinds of tests");
      kind = this_kind;
    });
    fields.erase(it);
  }
  if (const auto it = fields.find("metadata"); it != fields.end()) {
    if (const auto* text = std::get_if<std::string>(&it->second)) {
      const json::Document metadata = json::Document::parse(*text, place.where + ": metadata");
      function = metadata.root().string_or("func_name", "");
    }
  }
  if (kind == "functional" && function.empty()) {
    place.fail("functional tests without \"func_name\" in \"metadata\"");
  }
  fields["test_inputs"] = std::move(inputs);
  fields["test_outputs"] = std::move(outputs);
  fields["test_kind"] = kind;
  fields["func_name"] = function;
}

}  // namespace assay::datasets
