#include "tasks/answers/regex.h"

#include <map>
#include <memory>
#include <mutex>

#include "base/error.h"

namespace assay::tasks::answers {

const re2::RE2& compiled(const std::string& pattern, const std::string& where) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<const re2::RE2>> cache;
  std::lock_guard lock(mutex);
  auto& entry = cache[pattern];
  if (!entry) {
    auto regex = std::make_unique<const re2::RE2>(pattern, re2::RE2::Quiet);
    if (!regex->ok()) throw_bad_input("'" + pattern + "': " + regex->error(), where);
    entry = std::move(regex);
  }
  return *entry;
}

}  // namespace assay::tasks::answers
