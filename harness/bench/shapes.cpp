#include "harness/bench/shapes.h"

#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace assay::harness {

std::string_view embedded_file(std::string_view name);
std::string_view embedded_name(std::size_t index);

namespace {
constexpr std::string_view kExtension = ".json";
}

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (size_t i = 0; embedded_name(i).data() != nullptr; ++i) {
    names.emplace_back(embedded_name(i));
    names.back().resize(names.back().size() - kExtension.size());
  }
  return names;
}

engine::ModelShape find_shape(const std::string& name) {
  const std::string_view text = embedded_file(name + std::string(kExtension));
  if (text.data() != nullptr) return {std::string(text), name, {}};
  std::error_code ignored;
  if (std::filesystem::is_directory(name, ignored)) {
    throw_usage("--shape takes a name or a config.json, and \"" + name + "\" is a directory",
                "--model DIR measures a checkpoint");
  }
  if (std::filesystem::exists(name, ignored) || name.ends_with(kExtension)) {
    return {read_file(name), name, {}};
  }
  std::string all;
  for (const std::string& known : shape_names()) all += (all.empty() ? "" : ", ") + known;
  throw_usage("there is no shape \"" + name + "\"", "a config.json file, or one of: " + all);
}

}  // namespace assay::harness
