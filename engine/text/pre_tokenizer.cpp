#include "engine/text/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "engine/text/unicode/properties.h"

namespace assay::engine {

namespace {

// The kind of an object like {"type": "Split", ...}.
std::string_view type_of(json::Value part) { return part.at("type").string(); }

size_t code_point_end(std::string_view text, size_t pos) {
  const char* p = text.data() + pos;
  unicode::next_code_point(p);
  return static_cast<size_t>(p - text.data());
}

}  // namespace

PreTokenizer::PreTokenizer(json::Value pre_tokenizer) {
  if (pre_tokenizer.is_null()) {
    pre_tokenizer.fail("no pre-tokeniser", "only byte-level tokenizers are supported");
  }
  add(pre_tokenizer);
  if (!byte_level_) {
    pre_tokenizer.fail("no ByteLevel pre-tokeniser", "only byte-level tokenizers are supported");
  }
  const KnownSplitter known = find_splitter(patterns_);
  if (known.next != nullptr && !prefix_space_) fast_ = known.next;
  description_ =
      known.next != nullptr ? std::string(known.name) : std::to_string(stages_.size()) + " stages";
}

void PreTokenizer::add(json::Value part) {
  const std::string_view type = type_of(part);
  if (type == "Sequence") {
    part.at("pretokenizers").for_each_element([&](json::Value inner) { add(inner); });
    return;
  }
  // Behind ByteLevel the text would be in the byte alphabet.
  if (byte_level_) part.fail("a pre-tokeniser behind ByteLevel is not supported");
  if (type == "Split") {
    if (part.at("behavior").string() != "Isolated") {
      part.at("behavior").fail("only the behaviour Isolated is supported");
    }
    if (part.boolean_or("invert", false)) part.at("invert").fail("invert is not supported");
    const json::Value pattern = part.at("pattern");
    Stage stage{Stage::split, {}};
    if (const json::Value regex = pattern.find("Regex"); regex.exists()) {
      stage.regex.emplace_back(regex.string(), regex.where());
      patterns_.emplace_back(regex.string());
    } else {
      const json::Value literal = pattern.at("String");
      stage.regex.push_back(Regex::literal(literal.string(), literal.where()));
      patterns_.push_back("\\Q" + std::string(literal.string()));
    }
    stages_.push_back(std::move(stage));
  } else if (type == "Digits") {
    const bool each = part.boolean_or("individual_digits", false);
    stages_.push_back({each ? Stage::each_digit : Stage::digit_runs, {}});
    patterns_.emplace_back(each ? "\\Digit" : "\\Digits");
  } else if (type == "ByteLevel") {
    byte_level_ = true;
    prefix_space_ = part.boolean_or("add_prefix_space", true);
    stages_before_space_ = stages_.size();
    if (part.boolean_or("use_regex", true)) {
      stages_.push_back({Stage::split, {Regex(kGpt2Pattern, part.where())}});
      patterns_.emplace_back(kGpt2Pattern);
    }
  } else {
    part.at("type").fail("the pre-tokeniser " + std::string(type) + " is not supported",
                         "supported are Sequence, Split, Digits and ByteLevel");
  }
}

void PreTokenizer::cut(const Stage& stage, std::string_view text, Pieces& pieces) const {
  auto& [ends, out, changed, origin] = pieces;
  out.clear();
  const uint8_t* properties = unicode::properties();
  // Whether a match may begin here; what cannot is passed over without trying.
  const auto may_match = [&](size_t pos, size_t& next) {
    const char* p = text.data() + pos;
    const uint32_t c = unicode::next_code_point(p);
    next = static_cast<size_t>(p - text.data());
    return stage.kind != Stage::split || stage.regex[0].may_begin_with(c);
  };
  const auto is_digit = [&](size_t pos) {
    const char* p = text.data() + pos;
    return (properties[unicode::next_code_point(p)] & unicode::kNumericFlag) != 0;
  };
  size_t begin = 0;
  for (const size_t end : ends) {
    const std::string_view piece = text.substr(0, end);
    size_t cut_at = begin;  // [begin, cut_at) is cut; [cut_at, pos) does not match
    for (size_t pos = begin; pos < end;) {
      size_t match = Regex::kNoMatch, next = 0;
      if (!may_match(pos, next)) {
        pos = next;
        continue;
      }
      if (stage.kind == Stage::split) {
        match = stage.regex[0].match_at(piece, pos);
      } else if (is_digit(pos)) {
        match = code_point_end(piece, pos);
        while (stage.kind == Stage::digit_runs && match < end && is_digit(match)) {
          match = code_point_end(piece, match);
        }
      }
      if (match == Regex::kNoMatch) {
        pos = next;
        continue;
      }
      if (pos > cut_at) out.push_back(pos);
      out.push_back(match);
      cut_at = pos = match;
    }
    if (end > cut_at) out.push_back(end);
    begin = end;
  }
  ends.swap(out);
}

void PreTokenizer::general(std::string_view text, Pieces& pieces) const {
  pieces.ends.clear();
  if (text.empty()) return;
  pieces.ends.push_back(text.size());
  for (size_t i = 0; i < stages_.size(); ++i) {
    if (prefix_space_ && i == stages_before_space_) break;
    cut(stages_[i], text, pieces);
  }
  if (!prefix_space_) return;
  pieces.changed.clear();
  pieces.origin.clear();
  size_t begin = 0;
  for (size_t& end : pieces.ends) {
    if (text[begin] != ' ') {
      pieces.changed += ' ';
      pieces.origin.push_back(begin);
    }
    pieces.changed.append(text.substr(begin, end - begin));
    while (pieces.origin.size() < pieces.changed.size()) pieces.origin.push_back(++begin);
    end = pieces.changed.size();
  }
  for (size_t i = stages_before_space_; i < stages_.size(); ++i) {
    cut(stages_[i], pieces.changed, pieces);
  }
}

size_t PreTokenizer::restart_point(std::string_view text, size_t known) const {
  if (prefix_space_ || known > text.size()) return 0;
  size_t safe = 0;
  if (fast_ != nullptr) {
    // A piece is certain if kSplitterReach code points behind the white space that follows it are
    // known: the latest offset that has so many behind it, and no white space in between.
    const uint8_t* properties = unicode::properties();
    size_t end = known;
    for (int i = 0; i < kSplitterReach; ++i) {
      if (end == 0) return 0;
      do --end;
      while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80);
    }
    for (size_t pos = 0; pos < end;) {
      const size_t next = fast_(text.data(), pos, text.size());
      size_t behind = next;
      while (behind < end) {
        const char* p = text.data() + behind;
        if (!(properties[unicode::next_code_point(p)] & unicode::kSpaceFlag)) break;
        behind = static_cast<size_t>(p - text.data());
      }
      if (behind >= end) break;
      safe = pos = next;
    }
    return safe;
  }
  // Only the first stage sees the whole text; where it cuts, all begin anew.
  if (stages_.empty() || stages_[0].kind != Stage::split) return 0;
  size_t reach = 0;
  for (size_t pos = 0; pos < known;) {
    const size_t match = stages_[0].regex[0].match_at(text, pos, &reach);
    if (reach > known) break;
    pos = match == Regex::kNoMatch ? code_point_end(text, pos) : match;
    if (match != Regex::kNoMatch) safe = match;
  }
  return safe;
}

}  // namespace assay::engine
