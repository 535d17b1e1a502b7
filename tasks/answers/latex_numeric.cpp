// A small grammar of LaTeX arithmetic, evaluated while it is parsed:
//
//   answer   union of sets, or a list of sums separated by commas
//   set      ( list ) | [ list ] | ( list ] ... with two or more elements, braces too
//   sum      product (+|-) product ...        product   power (*|/|nothing) power ...
//   power    unary ^ unary                    unary     +- atom, atom !
//   atom     number, variable, \frac{}{}, \sqrt[]{}, \pi, ( sum ), { sum }, |sum|, \sin atom ...
//
// A value is what one point of the free variables gives: numbers with the brackets around them.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/digest.h"
#include "base/random.h"
#include "base/utf8.h"
#include "tasks/answers/latex.h"

namespace assay::tasks::answers {
namespace {

struct NotArithmetic {};

// A list element: its shape ("n", "(n,n)", "[n,n)u(n,n)") and its numbers in order.
struct Element {
  std::string shape;
  std::vector<double> numbers;
};

constexpr int kMaxDepth = 100;

class Evaluator {
 public:
  Evaluator(std::string_view text, int point) : text_(text), point_(point) {}

  std::vector<Element> answer() {
    std::vector<Element> elements = list();
    if (position_ != text_.size() || elements.empty()) throw NotArithmetic();
    return elements;
  }

 private:
  bool starts(std::string_view what) const { return text_.substr(position_).starts_with(what); }
  bool take(std::string_view what) {
    if (!starts(what)) return false;
    // \in must not match the beginning of \infty.
    bool command = what.size() > 1 && what[0] == '\\' && std::isalpha(what.back());
    size_t end = position_ + what.size();
    if (command && end < text_.size() && std::isalpha(static_cast<unsigned char>(text_[end]))) {
      return false;
    }
    position_ = end;
    if (command && peek() == ' ') ++position_;  // plain() leaves the one that ends a command
    return true;
  }
  char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  std::vector<Element> list() {
    std::vector<Element> elements{item()};
    while (take(",")) elements.push_back(item());
    return elements;
  }

  Element item() {
    Element element = set_or_sum();
    while (take("\\cup")) {
      Element next = set_or_sum();
      element.shape += "u" + next.shape;
      element.numbers.insert(element.numbers.end(), next.numbers.begin(), next.numbers.end());
    }
    return element;
  }

  Element set_or_sum() {
    // A bracket with a comma at its own level is a tuple or interval; without one, arithmetic.
    size_t start = position_;
    char open = peek();
    bool braces = starts("\\{");
    if (open == '(' || open == '[' || braces) {
      position_ += braces ? 2 : 1;
      try {
        std::vector<Element> elements = list();
        char close = peek();
        bool closed = braces ? take("\\}") : take(")") || take("]");
        if (closed && (elements.size() > 1 || braces)) {
          Element set;
          set.shape = std::string(1, braces ? '{' : open);
          if (braces) sort(elements);
          for (const Element& element : elements) {
            set.shape += element.shape + ",";
            set.numbers.insert(set.numbers.end(), element.numbers.begin(), element.numbers.end());
          }
          set.shape += braces ? '}' : close;
          return set;
        }
      } catch (const NotArithmetic&) {
      }
      position_ = start;
    }
    return {"n", {sum()}};
  }

 public:
  static void sort(std::vector<Element>& elements) {
    std::sort(elements.begin(), elements.end(), [](const Element& a, const Element& b) {
      return std::tie(a.shape, a.numbers) < std::tie(b.shape, b.numbers);
    });
  }

 private:
  double sum() {
    if (++depth_ > kMaxDepth) throw NotArithmetic();
    double value = product();
    while (true) {
      if (take("+")) {
        value += product();
      } else if (take("-")) {
        value -= product();
      } else {
        --depth_;
        return value;
      }
    }
  }

  double product() {
    bool integer_before = std::isdigit(static_cast<unsigned char>(peek())) != 0;
    size_t start = position_;
    double value = power();
    integer_before &= text_.substr(start, position_ - start).find_first_not_of("0123456789") ==
                      std::string_view::npos;
    while (true) {
      if (take("\\cdot") || take("\\times") || take("*")) {
        value *= power();
      } else if (take("\\div") || take("/")) {
        value /= power();
      } else if (integer_before && is_number_fraction()) {
        value += power();  // a mixed number: 3\frac{1}{2}
      } else if (begins_atom()) {
        value *= power();
      } else {
        return value;
      }
      integer_before = false;
    }
  }

  bool is_number_fraction() const {
    if (!starts("\\frac{")) return false;
    size_t i = position_ + 6;
    while (i < text_.size() && std::isdigit(static_cast<unsigned char>(text_[i]))) ++i;
    if (i == position_ + 6 || text_.substr(i, 2) != "}{") return false;
    size_t second = i += 2;
    while (i < text_.size() && std::isdigit(static_cast<unsigned char>(text_[i]))) ++i;
    return i > second && i < text_.size() && text_[i] == '}';
  }

  bool begins_atom() const {
    char c = peek();
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '(' || c == '{') return true;
    if (c != '\\') return false;
    for (const char* other : {"\\cup", "\\}", "\\cdot", "\\times", "\\div"}) {
      if (starts(other)) return false;
    }
    return true;
  }

  double power() {
    double base = unary();
    if (!take("^")) return base;
    return std::pow(base, unary());
  }

  double unary() {
    if (++depth_ > kMaxDepth) throw NotArithmetic();
    double value = 0;
    if (take("-")) {
      value = -power();
    } else if (take("+")) {
      value = power();
    } else {
      value = atom();
      if (take("!")) value = std::tgamma(value + 1);
    }
    --depth_;
    return value;
  }

  double group(std::string_view open, std::string_view close) {
    if (!take(open)) throw NotArithmetic();
    double value = sum();
    if (!take(close)) throw NotArithmetic();
    return value;
  }

  // The argument of \frac and \sqrt: {sum}, or one character.
  double argument() {
    if (peek() == '{') return group("{", "}");
    if (std::isdigit(static_cast<unsigned char>(peek()))) return text_[position_++] - '0';
    return atom();
  }

  double atom() {
    char c = peek();
    if (std::isdigit(static_cast<unsigned char>(c)) || c == '.') return number();
    if (c == '(') return group("(", ")");
    if (c == '{') return group("{", "}");
    if (c == '[') return group("[", "]");
    if (c == '|') {
      double value = group("|", "|");
      return std::abs(value);
    }
    if (take("\\frac")) {
      double numerator = argument();
      return numerator / argument();
    }
    if (take("\\sqrt")) {
      double index = peek() == '[' ? group("[", "]") : 2;
      double value = argument();
      bool odd = index == std::floor(index) && std::fmod(index, 2) == 1;
      return value < 0 && odd ? -std::pow(-value, 1 / index) : std::pow(value, 1 / index);
    }
    if (take("\\pi")) return std::numbers::pi;
    if (take("\\sin")) return std::sin(power());
    if (take("\\cos")) return std::cos(power());
    if (take("\\tan")) return std::tan(power());
    if (take("\\ln")) return std::log(power());
    if (take("\\log")) {
      double base = take("_") ? argument() : 10;
      return std::log(power()) / std::log(base);
    }
    return variable();
  }

  double number() {
    // Thousands: 1,000 and 1,234,567, but not 1,2345.
    size_t end = position_;
    std::string digits;
    auto digit = [&](size_t i) {
      return i < text_.size() && std::isdigit(static_cast<unsigned char>(text_[i]));
    };
    while (digit(end)) digits += text_[end++];
    if (digits.size() <= 3) {
      while (end < text_.size() && text_[end] == ',' && digit(end + 1) && digit(end + 2) &&
             digit(end + 3) && !digit(end + 4)) {
        digits += text_.substr(end + 1, 3);
        end += 4;
      }
    }
    if (end < text_.size() && text_[end] == '.' && digit(end + 1)) {
      digits += text_[end++];
      while (digit(end)) digits += text_[end++];
    }
    double value = 0;
    auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || error != std::errc() || stop != digits.data() + digits.size()) {
      throw NotArithmetic();
    }
    position_ = end;
    return value;
  }

  double variable() {
    size_t start = position_;
    char c = peek();
    if (c == '\\') {
      ++position_;
      while (std::isalpha(static_cast<unsigned char>(peek()))) ++position_;
      if (peek() == ' ') ++position_;
    } else if (std::isalpha(static_cast<unsigned char>(c))) {
      ++position_;
    }
    std::string name(text_.substr(start, position_ - start));
    if (name.size() <= 1 && name != std::string(1, c)) throw NotArithmetic();
    if (name.empty() || name == "\\") throw NotArithmetic();
    if (name == "e") return std::numbers::e;
    if (take("_")) {
      size_t subscript = position_;
      if (peek() == '{') {
        while (peek() != '}' && peek() != '\0') ++position_;
      }
      if (peek() == '\0') throw NotArithmetic();
      ++position_;
      name += text_.substr(subscript, position_ - subscript);
    }
    // A point in (0.3, 2.7) that depends on the name and the number of the point alone.
    uint64_t stream = 0;
    for (char digit : sha256_hex(name).substr(0, 15)) {
      stream = stream * 16 + static_cast<uint64_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    Random random(static_cast<uint64_t>(point_), stream);
    return 0.3 + 2.4 * random.uniform();
  }

  std::string_view text_;
  int point_;
  size_t position_ = 0;
  int depth_ = 0;
};

// Spacing, sizes and units that do not change the value.
std::string plain(std::string_view answer) {
  std::string text(answer);
  auto replace = [&](std::string_view from, std::string_view to) {
    utf8::replace_all(text, from, to);
  };
  for (const char* gone : {"\\left", "\\right", "\\!", "\\,", "\\;", "\\:", "\\ ", "$", "\\%", "%",
                           "^\\circ", "^{\\circ}", "\\displaystyle", "\n", "\\quad"}) {
    replace(gone, "");
  }
  replace("\\dfrac", "\\frac");
  replace("\\tfrac", "\\frac");
  replace("{,}", "");
  replace("−", "-");
  for (size_t at; (at = text.find("\\text{")) != std::string::npos ||
                  (at = text.find("\\mbox{")) != std::string::npos ||
                  (at = text.find("\\mathrm{")) != std::string::npos;) {
    size_t end = text.find('}', at);
    if (end == std::string::npos) break;
    text.erase(at, end - at + 1);
  }
  // Spaces mean nothing, except the one that keeps "\pi x" from becoming another command.
  const auto ends_in_command = [](const std::string& t) {
    const size_t slash = t.rfind('\\');
    return slash != std::string::npos && slash + 1 < t.size() &&
           std::all_of(t.begin() + static_cast<ptrdiff_t>(slash) + 1, t.end(),
                       [](unsigned char c) { return std::isalpha(c); });
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ' ') {
      out += text[i];
    } else if (i + 1 < text.size() && std::isalpha(static_cast<unsigned char>(text[i + 1])) &&
               ends_in_command(out)) {
      out += ' ';
    }
  }
  while (out.ends_with('.')) out.pop_back();
  if (std::count(out.begin(), out.end(), '=') == 1 && out.find('=') <= 2) {
    out = out.substr(out.find('=') + 1);
  }
  return out;
}

bool close(double a, double b, Tolerance tolerance) {
  if (!std::isfinite(a) || !std::isfinite(b)) return false;
  const double allowed = std::max(tolerance.absolute, tolerance.relative * std::max(std::abs(a), std::abs(b)));
  return a == b || std::abs(a - b) <= allowed;
}

constexpr int kPoints = 12;

}  // namespace

bool numerically_equal(std::string_view left, std::string_view right, Tolerance tolerance) {
  std::string a = plain(left), b = plain(right);
  if (a.empty() || b.empty() || a.size() > 1000 || b.size() > 1000) return false;
  int defined = 0;
  try {
    for (int point = 0; point < kPoints; ++point) {
      std::vector<Element> x = Evaluator(a, point).answer(), y = Evaluator(b, point).answer();
      if (x.size() != y.size()) return false;
      if (x.size() > 1) {
        Evaluator::sort(x);
        Evaluator::sort(y);
      }
      bool undefined = false;
      for (size_t i = 0; i < x.size(); ++i) {
        if (x[i].shape != y[i].shape) return false;
        for (size_t n = 0; n < x[i].numbers.size(); ++n) {
          // Where both are undefined (a root of a negative number) or too large the point says nothing.
          if (!std::isfinite(x[i].numbers[n]) && !std::isfinite(y[i].numbers[n])) {
            undefined = true;
          } else if (!close(x[i].numbers[n], y[i].numbers[n], tolerance)) {
            return false;
          }
        }
      }
      defined += undefined ? 0 : 1;
    }
  } catch (const NotArithmetic&) {
    return false;
  }
  return defined > 0;
}

bool numerically_proportional(std::string_view left, std::string_view right) {
  const std::string a = plain(left), b = plain(right);
  if (a.empty() || b.empty() || a.size() > 1000 || b.size() > 1000) return false;
  std::vector<double> factors;
  try {
    for (int point = 0; point < kPoints; ++point) {
      const std::vector<Element> x = Evaluator(a, point).answer(), y = Evaluator(b, point).answer();
      if (x.size() != 1 || y.size() != 1 || x[0].shape != "n" || y[0].shape != "n") return false;
      if (const double factor = x[0].numbers[0] / y[0].numbers[0]; std::isfinite(factor)) factors.push_back(factor);
    }
  } catch (const NotArithmetic&) {
    return false;
  }
  return !factors.empty() && factors[0] != 0 && std::ranges::all_of(factors, [&](double factor) {
    return close(factor, factors[0], {.relative = 1e-9});
  });
}

}  // namespace assay::tasks::answers
