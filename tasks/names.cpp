// Names of the room's enumerations, as they are stored and printed.
#include "tasks/outputs.h"
#include "tasks/program.h"
#include "tasks/prompt.h"

namespace assay::tasks {

std::string_view request_kind_name(RequestKind kind) {
  switch (kind) {
    case RequestKind::choice:
      return "choice";
    case RequestKind::partial:
      return "partial";
    case RequestKind::generate:
      return "generate";
    case RequestKind::rolling:
      return "rolling";
  }
  return "";
}

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return "pass";
    case Verdict::fail_assert:
      return "fail_assert";
    case Verdict::fail_exception:
      return "fail_exception";
    case Verdict::syntax_error:
      return "syntax_error";
    case Verdict::timeout:
      return "timeout";
    case Verdict::oom:
      return "oom";
    case Verdict::sandbox_error:
      return "sandbox_error";
  }
  return "";
}

std::optional<Verdict> find_verdict(std::string_view name) {
  for (const Verdict verdict :
       {Verdict::pass, Verdict::fail_assert, Verdict::fail_exception, Verdict::syntax_error,
        Verdict::timeout, Verdict::oom, Verdict::sandbox_error}) {
    if (verdict_name(verdict) == name) return verdict;
  }
  return std::nullopt;
}

std::string_view program_kind_name(ProgramKind kind) {
  switch (kind) {
    case ProgramKind::asserts:
      return "asserts";
    case ProgramKind::stdio:
      return "stdio";
    case ProgramKind::call:
      return "call";
    case ProgramKind::expression:
      return "expression";
  }
  return "";
}

}  // namespace assay::tasks
