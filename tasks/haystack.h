// A needle in a haystack: documents made by the program, for reading at length (request `generate`).
//
// A sentence that nothing else suggests is placed at a depth of a text of a given length in tokens,
// and asked for at the end. The text is the bundled prose in an order that the seed decides: once
// through in one order, then again in another, as long as it takes. All depths and lengths of one
// repetition see the same order, so that their prompts share their beginnings.
//
// Keys of "haystack" in a task file:
//   lengths   tokens of prompt and answer together; absent: `shortest`, its doubles below the context
//             length, and the context length itself
//   shortest  default 512
//   depths    where the needle stands, in hundredths of the text
//   repeats   documents a cell of the grid, each with another needle and order of the text
//   seed      default 0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "datasets/dataset.h"

namespace assay::tasks {

struct HaystackRule {
  std::vector<int64_t> lengths;
  int64_t shortest = 512;
  std::vector<int64_t> depths;
  int repeats = 1;
  uint64_t seed = 0;
};
HaystackRule read_haystack(json::Value rule);

// The grid's documents, for a context of `longest` tokens, with the fields `length`, `depth`, `cell`
// ("length|depth"), `repeat`, `city` and `number`; lengths ascending, then depths. Lengths beyond
// `longest` are left out with a warning.
datasets::Split haystack_documents(const HaystackRule& rule, int64_t longest, const std::string& task);

// The text with `needle` at `depth`: as many sentences as `fits` accepts, found by doubling and
// bisection. `fits` must not accept a longer text than one that it refused. Throws usage if not even
// the needle alone fits.
std::string fill_haystack(const HaystackRule& rule, int64_t repeat, int64_t depth,
                          const std::string& needle,
                          const std::function<bool(const std::string& text)>& fits);

}  // namespace assay::tasks
