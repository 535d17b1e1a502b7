// Escaping and numbers.
#include <cmath>
#include <cstdio>

#include "base/utf8.h"
#include "results/table.h"

namespace assay::results {

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : utf8::printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string escape_latex(std::string_view text) {
  const std::string safe = utf8::printable(text);
  std::string out;
  for (size_t at = 0; at < safe.size();) {
    const char32_t c = utf8::decode(safe, at);
    switch (c) {
      case U'\\':
        out += "\\textbackslash{}";
        break;
      case U'{':
        out += "\\{";
        break;
      case U'}':
        out += "\\}";
        break;
      case U'$':
        out += "\\$";
        break;
      case U'&':
        out += "\\&";
        break;
      case U'#':
        out += "\\#";
        break;
      case U'%':
        out += "\\%";
        break;
      case U'_':
        out += "\\_";
        break;
      case U'^':
        out += "\\textasciicircum{}";
        break;
      case U'~':
        out += "\\textasciitilde{}";
        break;
      case U'<':
        out += "\\textless{}";
        break;
      case U'>':
        out += "\\textgreater{}";
        break;
      case U'|':
        out += "\\textbar{}";
        break;
      case U'"':
        out += "\\textquotedbl{}";
        break;
      // A bracket after \\ would be read as its argument.
      case U'[':
        out += "{[}";
        break;
      case U']':
        out += "{]}";
        break;
      case U'±':
        out += "$\\pm$";
        break;
      case U'≤':
        out += "$\\leq$";
        break;
      case U'−':
        out += "$-$";
        break;
      case U'Δ':
        out += "$\\Delta$";
        break;
      case U'→':
        out += "$\\rightarrow$";
        break;
      case U'…':
        out += "\\ldots{}";
        break;
      case U'–':
        out += "--";
        break;
      case U'·':
        out += "$\\cdot$";
        break;
      case U'†':
        out += "\\dag{}";
        break;
      default:
        if (c < 0x80) {
          out += static_cast<char>(c);
        } else {
          char code[16];
          std::snprintf(code, sizeof(code), "U+%04X", static_cast<unsigned>(c));
          out += code;
        }
    }
  }
  // \textquotedbl needs the T1 encoding; plain quotes do in a tabular.
  size_t at = 0;
  while ((at = out.find("\\textquotedbl{}", at)) != std::string::npos) out.replace(at, 15, "''");
  return out;
}

std::string escape_markdown(std::string_view text) {
  std::string out;
  for (const char c : utf8::printable(text)) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '\\':
      case '`':
      case '*':
      case '_':
      case '[':
      case ']':
      case '|':
      case '#':
      case '~':
        out += '\\';
        out += c;
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string fixed_text(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  const std::string result = text;
  const bool zero = result.find_first_not_of("-0.") == std::string::npos;
  return zero && result[0] == '-' ? result.substr(1) : result;
}

std::string signed_text(double value, int decimals) {
  const std::string text = fixed_text(value, decimals);
  if (text[0] == '-' || text.find_first_not_of("0.") == std::string::npos) return text;
  return "+" + text;
}

std::string p_text(double p) {
  if (p < 0.001) return "<0.001";
  if (p >= 0.9995) return "1";
  return fixed_text(p, 3);
}

}  // namespace assay::results
