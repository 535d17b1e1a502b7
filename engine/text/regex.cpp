#include "engine/text/regex.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/utf8.h"

namespace assay::engine {

void Regex::CharSet::make_bits() {
  bits.assign(unicode::kCodePoints / 64, 0);
  const auto add = [&](uint32_t c) { bits[c >> 6] |= uint64_t{1} << (c & 63); };
  const uint8_t* properties = unicode::properties();
  for (uint32_t c = 0; c < unicode::kCodePoints; ++c) {
    const bool is_space = (properties[c] & unicode::kSpaceFlag) != 0;
    if (unicode::in_mask(properties[c], categories) || (space && is_space) ||
        (not_space && !is_space)) {
      add(c);
    }
  }
  for (const auto& [low, high] : ranges) {
    for (uint32_t c = low; c <= high; ++c) add(c);
  }
  if (!negated) return;
  for (uint64_t& word : bits) word = ~word;
}

// Recursive descent. Nodes are built back to front: every parse function is told the node that its
// piece leads on to, which needs the pieces of a sequence first; so a sequence is parsed into a
// list of atoms and then linked.
class RegexCompiler {
 public:
  RegexCompiler(std::string_view pattern, const std::string& where, Regex& regex)
      : pattern_(pattern), where_(where), regex_(regex) {
    if (!utf8::is_valid(pattern)) fail("is not UTF-8");
  }

  void compile() {
    const int accept = add({});
    regex_.start_ = alternatives(accept, false);
    if (pos_ < pattern_.size()) fail("has a `)` too many");
    if (min_length(regex_.start_) == 0) fail("matches the empty string");
    finish();
  }

  void compile_literal() {
    if (pattern_.empty()) fail("is empty");
    std::vector<Regex::Node> atoms;
    while (pos_ < pattern_.size()) atoms.push_back(single(utf8::decode(pattern_, pos_), false));
    regex_.start_ = link(std::move(atoms), add({}));
    finish();
  }

 private:
  using Node = Regex::Node;
  using CharSet = Regex::CharSet;

  [[noreturn]] void fail(const std::string& what) const {
    throw_bad_input("the regular expression `" + utf8::printable(pattern_) + "` " + what, where_,
                    "this pre-tokeniser is not supported");
  }
  [[noreturn]] void unsupported(size_t from) const {
    fail("uses `" + utf8::printable(pattern_.substr(from, 4)) + "` at byte " +
         std::to_string(from) + ", which is not supported");
  }

  void finish() {
    for (CharSet& set : regex_.sets_) set.make_bits();
    regex_.first_.assign(unicode::kCodePoints / 64, 0);
    add_first(regex_.start_, nullptr);
  }
  // Adds what the part of the pattern from node `index` on may begin with; `rest` is what follows
  // the group around it. Conditions without width are taken to hold.
  struct Rest {
    int node;
    const Rest* outer;
  };
  void add_first(int index, const Rest* rest) {
    while (index >= 0 && regex_.nodes_[static_cast<size_t>(index)].kind != Node::accept) {
      const Node& node = regex_.nodes_[static_cast<size_t>(index)];
      if (node.kind == Node::alternatives) {
        const Rest then{node.next, rest};
        for (const int branch : node.branches) add_first(branch, &then);
        return;
      }
      if (node.kind == Node::set) {
        const auto& bits = regex_.sets_[static_cast<size_t>(node.char_set)].bits;
        for (size_t i = 0; i < bits.size(); ++i) regex_.first_[i] |= bits[i];
        if (node.least > 0) return;
      }
      index = node.next;
    }
    if (rest != nullptr) add_first(rest->node, rest->outer);
  }

  bool at_end() const { return pos_ >= pattern_.size(); }
  char peek() const { return at_end() ? '\0' : pattern_[pos_]; }
  bool take(std::string_view token) {
    if (!pattern_.substr(pos_).starts_with(token)) return false;
    pos_ += token.size();
    return true;
  }

  int add(Node node) {
    regex_.nodes_.push_back(std::move(node));
    return static_cast<int>(regex_.nodes_.size()) - 1;
  }
  int add_set(CharSet set) {
    regex_.sets_.push_back(std::move(set));
    return static_cast<int>(regex_.sets_.size()) - 1;
  }
  int link(std::vector<Node> atoms, int next) {
    for (size_t i = atoms.size(); i-- > 0;) {
      // The branches of an inner group end at placeholders that lead nowhere yet; see group().
      atoms[i].next = next;
      next = add(std::move(atoms[i]));
    }
    return next;
  }

  Node single(uint32_t c, bool fold_case) {
    CharSet set;
    set.ranges.emplace_back(c, c);
    if (fold_case) add_case_variants(c, set);
    Node node(Node::set);
    node.char_set = add_set(std::move(set));
    return node;
  }
  void add_case_variants(uint32_t c, CharSet& set) {
    if (c >= 0x80) fail("ignores case for a character that is not ASCII");
    const uint32_t lower = c | 0x20;
    if (lower < 'a' || lower > 'z') return;
    set.ranges.emplace_back(lower, lower);
    set.ranges.emplace_back(lower - 0x20, lower - 0x20);
    if (lower == 's') set.ranges.emplace_back(0x17F, 0x17F);    // long s
    if (lower == 'k') set.ranges.emplace_back(0x212A, 0x212A);  // Kelvin sign
  }

  // a|b|c, up to `)` or the end. Every branch leads on to `next`.
  int alternatives(int next, bool fold_case) {
    if (++depth_ > 50) fail("is nested too deeply");
    std::vector<int> branches;
    do branches.push_back(sequence(next, fold_case));
    while (take("|"));
    --depth_;
    if (branches.size() == 1) return branches[0];
    Node node(Node::alternatives);
    node.branches = std::move(branches);
    return add(std::move(node));
  }

  int sequence(int next, bool fold_case) {
    std::vector<Node> atoms;
    while (!at_end() && peek() != '|' && peek() != ')') atoms.push_back(atom(fold_case));
    return link(std::move(atoms), next);
  }

  Node atom(bool fold_case) {
    const size_t from = pos_;
    if (take("(?!") || take("(?=")) {
      Node node(Node::lookahead);
      node.negative = pattern_[pos_ - 1] == '!';
      node.branches = {alternatives(add({}), fold_case)};
      if (!take(")")) fail("lacks a `)`");
      if (starts_quantifier()) unsupported(pos_);
      return node;
    }
    if (peek() == '(') return group(fold_case);
    if (take("$")) return Node(Node::end_of_line);
    if (take("^") || take("*") || take("+") || take("?") || take("{")) unsupported(from);
    Node node(Node::set);
    if (take("[")) {
      node.char_set = add_set(char_class(fold_case));
    } else if (take(".")) {
      CharSet set;
      set.negated = true;
      set.ranges.emplace_back('\n', '\n');
      node.char_set = add_set(std::move(set));
    } else if (peek() == '\\') {
      CharSet set;
      const auto c = escape(set);
      if (c) {
        node = single(*c, fold_case);
      } else {
        node.char_set = add_set(std::move(set));
      }
    } else {
      node = single(utf8::decode(pattern_, pos_), fold_case);
    }
    quantifier(node);
    return node;
  }

  // A group becomes a node `alternatives`; its branches end in `accept`, where the matcher goes on
  // with the group's own `next`.
  Node group(bool fold_case) {
    const size_t from = pos_;
    if (take("(?i:")) {
      fold_case = true;
    } else if (!take("(?:")) {
      take("(");
      if (peek() == '?' || peek() == '*') unsupported(from);
    }
    Node node(Node::alternatives);
    node.branches = {alternatives(add({}), fold_case)};
    if (!take(")")) fail("lacks a `)`");
    if (take("?")) {
      if (starts_quantifier()) unsupported(pos_);
      node.branches.push_back(add({}));  // the empty branch
    } else if (starts_quantifier()) {
      unsupported(pos_);
    }
    return node;
  }

  bool starts_quantifier() const {
    const char c = peek();
    return !at_end() && (c == '?' || c == '*' || c == '+' || c == '{');
  }
  uint32_t number() {
    uint32_t value = 0;
    const size_t from = pos_;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint32_t>(pattern_[pos_++] - '0');
      if (value > 1000) fail("counts beyond 1000");
    }
    if (pos_ == from) unsupported(from);
    return value;
  }
  void quantifier(Node& node) {
    constexpr uint32_t kUnlimited = UINT32_MAX;
    if (take("?")) {
      node.least = 0, node.most = 1;
    } else if (take("*")) {
      node.least = 0, node.most = kUnlimited;
    } else if (take("+")) {
      node.least = 1, node.most = kUnlimited;
    } else if (take("{")) {
      node.least = number();
      node.most = node.least;
      if (take(",")) node.most = peek() == '}' ? kUnlimited : number();
      if (!take("}") || node.most < node.least || node.most == 0) unsupported(pos_);
      if (starts_quantifier()) unsupported(pos_);
      return;
    } else {
      return;
    }
    if (take("+")) node.possessive = true;
    if (starts_quantifier()) unsupported(pos_);
  }

  // After a backslash: a single character (returned), or a set (added to `set`).
  std::optional<uint32_t> escape(CharSet& set) {
    const size_t from = pos_;
    ++pos_;
    if (at_end()) fail("ends in a backslash");
    const char c = pattern_[pos_++];
    switch (c) {
      case 'r':
        return '\r';
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 's':
        set.space = true;
        return std::nullopt;
      case 'S':
        set.not_space = true;
        return std::nullopt;
      case 'd':
        set.categories |= unicode::category_mask("Nd");
        return std::nullopt;
      case 'D':
        set.categories |= ~unicode::category_mask("Nd");
        return std::nullopt;
      case 'p':
      case 'P': {
        const bool caret = take("{^");
        if (!caret && !take("{")) unsupported(from);
        const size_t close = pattern_.find('}', pos_);
        if (close == std::string_view::npos) fail("lacks a `}`");
        const std::string_view name = pattern_.substr(pos_, close - pos_);
        const unicode::CategoryMask mask = unicode::category_mask(name);
        if (mask == 0) fail("names the property `" + utf8::printable(name) + "`, which is unknown");
        pos_ = close + 1;
        set.categories |= ((c == 'P') != caret) ? ~mask : mask;
        return std::nullopt;
      }
      case 'x':
        if (take("{")) {
          const uint32_t value = hex(1, 6);
          if (!take("}")) unsupported(from);
          return value;
        }
        return hex(1, 2) < 0x80 ? last_hex_ : (unsupported(from), 0);
      case 'u':
        return hex(4, 4);
      default:
        break;
    }
    const bool alphanumeric = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    if (alphanumeric || static_cast<uint8_t>(c) >= 0x80) unsupported(from);
    return static_cast<uint8_t>(c);
  }
  uint32_t hex(size_t least, size_t most) {
    const size_t from = pos_;
    last_hex_ = 0;
    while (pos_ - from < most &&
           std::string_view("0123456789abcdefABCDEF").find(peek()) != std::string_view::npos &&
           !at_end()) {
      const char c = pattern_[pos_++];
      last_hex_ =
          last_hex_ * 16 + static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (pos_ - from < least || last_hex_ >= unicode::kCodePoints) unsupported(from);
    return last_hex_;
  }

  CharSet char_class(bool fold_case) {
    CharSet set;
    set.negated = take("^");
    bool first = true;
    while (first || peek() != ']') {
      if (at_end()) fail("lacks a `]`");
      const size_t from = pos_;
      // Nested classes, intersections and [:posix:] mean something else to Oniguruma.
      if (peek() == '[' || pattern_.substr(pos_).starts_with("&&")) unsupported(from);
      if (first && peek() == ']') unsupported(from);
      first = false;
      const std::optional<uint32_t> low =
          peek() == '\\' ? escape(set) : std::optional<uint32_t>(utf8::decode(pattern_, pos_));
      if (!low) {
        if (peek() == '-' && !pattern_.substr(pos_).starts_with("-]")) unsupported(from);
        continue;
      }
      uint32_t high = *low;
      if (peek() == '-' && !pattern_.substr(pos_).starts_with("-]")) {
        ++pos_;
        if (at_end() || peek() == '[') unsupported(from);
        const auto to =
            peek() == '\\' ? escape(set) : std::optional<uint32_t>(utf8::decode(pattern_, pos_));
        if (!to || *to < *low) fail("has a bad range at byte " + std::to_string(from));
        high = *to;
      }
      set.ranges.emplace_back(*low, high);
      if (fold_case) {
        if (high - *low > 0x80) fail("ignores case for a character that is not ASCII");
        for (uint32_t c = *low; c <= high; ++c) add_case_variants(c, set);
      }
    }
    ++pos_;
    return set;
  }

  // The fewest code points that a match from `node` takes.
  size_t min_length(int index) const {
    if (index < 0) return 0;
    const Node& node = regex_.nodes_[static_cast<size_t>(index)];
    size_t own = 0;
    if (node.kind == Node::set) own = node.least;
    if (node.kind == Node::alternatives) {
      own = static_cast<size_t>(-1);
      for (const int branch : node.branches) own = std::min(own, min_length(branch));
    }
    return own + min_length(node.next);
  }

  std::string_view pattern_;
  const std::string& where_;
  Regex& regex_;
  size_t pos_ = 0;
  int depth_ = 0;
  uint32_t last_hex_ = 0;
};

Regex::Regex(std::string_view pattern, const std::string& where) {
  RegexCompiler(pattern, where, *this).compile();
}

Regex Regex::literal(std::string_view text, const std::string& where) {
  Regex regex;
  RegexCompiler(text, where, regex).compile_literal();
  return regex;
}

class RegexMatcher {
 public:
  RegexMatcher(const Regex& regex, std::string_view text) : regex_(regex), text_(text) {}

  static constexpr size_t kNoMatch = Regex::kNoMatch;

  // What follows a group when its branch reaches `accept`: the stack of open groups' continuations.
  struct Rest {
    int node;
    const Rest* outer;
  };

  size_t run(int index, size_t pos, const Rest* rest) {
    while (true) {
      if (index < 0) return run_rest(pos, rest);
      const Regex::Node& node = regex_.nodes_[static_cast<size_t>(index)];
      switch (node.kind) {
        case Regex::Node::accept:
          return run_rest(pos, rest);
        case Regex::Node::end_of_line:
          look(pos);
          if (pos < text_.size() && text_[pos] != '\n') return kNoMatch;
          index = node.next;
          continue;
        case Regex::Node::lookahead: {
          const bool found = run(node.branches[0], pos, nullptr) != kNoMatch;
          if (found == node.negative) return kNoMatch;
          index = node.next;
          continue;
        }
        case Regex::Node::alternatives: {
          const Rest then{node.next, rest};
          for (const int branch : node.branches) {
            const size_t end = run(branch, pos, &then);
            if (end != kNoMatch) return end;
          }
          return kNoMatch;
        }
        case Regex::Node::set:
          break;
      }
      // Takes as many as it can, then gives back one by one.
      const Regex::CharSet& set = regex_.sets_[static_cast<size_t>(node.char_set)];
      size_t end = pos, least_end = pos;
      uint32_t count = 0;
      while (count < node.most) {
        if (count == node.least) least_end = end;
        look(end);
        if (end >= text_.size()) break;
        const char* p = text_.data() + end;
        if (!set.contains(unicode::next_code_point(p))) break;
        end = static_cast<size_t>(p - text_.data());
        ++count;
      }
      if (count < node.least) return kNoMatch;
      if (count == node.least) least_end = end;
      if (node.possessive || end == least_end) {
        pos = end;
        index = node.next;
        continue;
      }
      while (true) {
        const size_t found = run(node.next, end, rest);
        if (found != kNoMatch || end == least_end) return found;
        do --end;
        while ((static_cast<uint8_t>(text_[end]) & 0xC0) == 0x80);
      }
    }
  }

  size_t reach = 0;

 private:
  size_t run_rest(size_t pos, const Rest* rest) {
    return rest == nullptr ? pos : run(rest->node, pos, rest->outer);
  }
  // Notes that the code point at `pos` (or the end) was looked at.
  void look(size_t pos) {
    size_t end = pos + 1;
    while (end < text_.size() && (static_cast<uint8_t>(text_[end]) & 0xC0) == 0x80) ++end;
    reach = std::max(reach, end);
  }

  const Regex& regex_;
  std::string_view text_;
};

size_t Regex::match_at(std::string_view text, size_t pos, size_t* reach) const {
  RegexMatcher matcher(*this, text);
  const size_t end = matcher.run(start_, pos, nullptr);
  if (reach != nullptr) *reach = std::max(*reach, matcher.reach);
  return end;
}

}  // namespace assay::engine
