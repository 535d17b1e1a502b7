// libFuzzer target: the record of a verdict, whatever text it is made of: one line of valid UTF-8
// JSON, of bounded size, that says the same when read.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/utf8.h"
#include "sandbox/sandbox.h"
#include "sandbox/verdict.h"

using namespace assay;
using namespace assay::sandbox;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto take = [&](size_t most) {
    // Some texts are long in few bytes: the first byte says how often the next piece is repeated.
    if (rest.empty()) return std::string();
    const size_t times = size_t{1} << (static_cast<unsigned char>(rest[0]) % 12);
    rest.remove_prefix(1);
    const std::string_view piece = rest.substr(0, most);
    rest.remove_prefix(piece.size());
    std::string text;
    for (size_t i = 0; i < times; ++i) text += piece;
    return text;
  };
  Verdict verdict;
  verdict.outcome = static_cast<Outcome>(size % 5);
  verdict.reason = take(8);
  verdict.detail = take(16);
  verdict.stdout_text = excerpt(take(16));
  verdict.stderr_text = take(16);
  verdict.program_sha256 = take(4);
  for (size_t i = 0; i < size % 7; ++i)
    verdict.attempts.push_back({Outcome::fail, take(4), 1, 2, false});
  const std::string record = verdict.json();
  require(record.size() <= kMaxRecordBytes && utf8::is_valid(record));
  require(record.find('\n') == std::string::npos);
  const auto document = json::Document::parse(record, "record");
  require(document.root().at("verdict").string() == outcome_name(verdict.outcome));
  for (const std::string_view text : {std::string_view(verdict.detail), rest}) {
    const std::string once = excerpt(text);
    require(utf8::is_valid(once) && once.size() <= 4096 + 64 && excerpt(once) == once);
  }
  return 0;
}
