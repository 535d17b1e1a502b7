// The one exception type of the program: what is wrong, where, and what the user can do about it.
//
// Errors are for people. `what` says what is wrong, `where` names the file and the place in it
// ("model.safetensors: tensor model.norm.weight"), `remedy` the way out. The command line prints
// them on one line and exits with the kind's code; nothing else in the program calls exit().
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace assay {

// The values are the program's exit codes (0 is success; 10 is a gate's "inconclusive").
enum class ErrorKind : int {
  regression = 1,  // a gate or comparison failed
  usage = 2,       // the command line is wrong
  bad_input = 3,   // a file is missing, malformed, or contradicts another
  resource = 4,    // memory, disk, sandbox or permission is lacking
  internal = 5,    // a defect of this program
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string what, std::string where = {}, std::string remedy = {});

  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }
  const std::string& message() const { return what_; }
  const std::string& where() const { return where_; }
  const std::string& remedy() const { return remedy_; }
  // "where: what (remedy)" on one line; control characters of hostile input are escaped.
  const char* what() const noexcept override { return line_.c_str(); }

 private:
  ErrorKind kind_;
  std::string what_, where_, remedy_, line_;
};

[[noreturn]] void throw_bad_input(std::string what, std::string where, std::string remedy = {});
[[noreturn]] void throw_usage(std::string what, std::string remedy = {});
[[noreturn]] void throw_resource(std::string what, std::string where, std::string remedy = {});
[[noreturn]] void throw_internal(std::string what, std::string where = {});

// The candidate that is nearest to `word` by edit distance, or "" if none is near enough to be a
// likely typo (distance at most a third of the longer word).
std::string nearest_word(std::string_view word, const std::string_view* candidates, size_t count);

}  // namespace assay
