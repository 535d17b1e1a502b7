#include "harness/cli/stored_runs.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "base/error.h"
#include "results/heat_map.h"

namespace assay::harness {

size_t output_width() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) return size.ws_col;
  return 80;
}

results::Store StoreFlags::open() const {
  if (!std::filesystem::exists(store)) {
    throw_bad_input("there is no such store", store,
                    "assay run writes one; --store names it");
  }
  return results::Store::open(store, results::Store::Access::read);
}

std::vector<results::RunSummary> StoreFlags::runs(const results::Store& opened,
                                                  const std::vector<std::string>& names) const {
  if (names.empty()) return results::list_runs(opened);
  std::vector<results::RunSummary> out;
  for (const std::string& name : names) out.push_back(results::find_run(opened, name));
  return out;
}

bool coloured_output() {
  return ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
}

bool utf8_output() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string locale = value;
    for (char& c : locale) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

void print_heat_maps(const results::Store& store, const results::RunSummary& run) {
  for (const results::HeatMap& map : results::heat_maps(store, run)) {
    std::cout << '\n' << results::heat_map_text(map, output_width(), coloured_output());
  }
}

void StoreFlags::print(const results::Table& table) const {
  const results::Format chosen = results::parse_format(format);
  results::TerminalOptions terminal;
  terminal.width = output_width();
  terminal.color = coloured_output();
  std::cout << results::render(table, chosen, terminal);
}

void add_store_flags(CLI::App& verb, StoreFlags& flags, bool tables) {
  verb.add_option("--store", flags.store, "SQLite file with the results")
      ->capture_default_str()
      ->type_name("FILE");
  if (!tables) return;
  verb.add_option("--format", flags.format, "terminal, markdown, latex, csv or html")
      ->capture_default_str();
}

}  // namespace assay::harness
