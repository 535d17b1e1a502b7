// Options of the verbs that read a store.
#pragma once

#include <string>
#include <vector>

#include "results/queries.h"
#include "results/store.h"
#include "results/table.h"

namespace CLI {
class App;
}

namespace assay::harness {

struct StoreFlags {
  std::string store = "assay.sqlite";
  std::string format = "terminal";
  bool json = false;

  // Opens for reading; a missing file names the verb that makes one.
  results::Store open() const;
  // The named runs in the order given; all runs if none is named.
  std::vector<results::RunSummary> runs(const results::Store& store,
                                        const std::vector<std::string>& names) const;
  // Prints in --format; a terminal gets its own width and colours.
  void print(const results::Table& table) const;
};

void add_store_flags(CLI::App& verb, StoreFlags& flags, bool tables);

// Grids of scores (needle in a haystack) to standard output, coloured on a terminal.
void print_heat_maps(const results::Store& store, const results::RunSummary& run);

// Columns of standard output's terminal, 80 elsewhere.
size_t output_width();
bool coloured_output();  // standard output is a terminal, and NO_COLOR is not set
bool utf8_output();      // the locale's characters are UTF-8

}  // namespace assay::harness
