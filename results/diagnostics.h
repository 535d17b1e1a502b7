// What a score does not show: answers that were not found, texts that were cut, letters that are
// preferred whatever is asked. Counted for every evaluation, said aloud where it is not negligible.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "results/queries.h"

namespace assay::results {

struct Diagnostics {
  int64_t documents = 0;
  int64_t errors = 0;           // not judged, not in the score
  int64_t no_extract = 0;       // generated texts without an answer that the rules find
  int64_t length_limited = 0;   // generations that ended at the limit of new tokens
  int64_t truncated = 0;        // the query itself was cut to fit the context
  int64_t shots_dropped = 0;    // documents whose exemplars did not all fit
  int64_t boundary_merges = 0;  // a token straddles context and continuation
  int64_t literal_bos = 0;      // a prompt begins with the begin token written out
  int64_t ties = 0;             // the best option was not alone
  // choice: how often each option was chosen, and how often it is right; by letter.
  std::map<std::string, int64_t> chosen, right;
};

Diagnostics diagnose(const Store& store, const EvaluationSummary& evaluation);

// One clause for each count that reaches a hundredth of the documents (errors, cut queries and
// begin tokens: any), and the letters if the choices differ from the right answers by more than
// chance and ten points.
std::vector<std::string> notable(const Diagnostics& diagnostics);

// "MMLU 5-shot: ..." lines for the evaluations of a run that have something to say.
std::vector<std::string> diagnostic_lines(const Store& store, const RunSummary& run);

}  // namespace assay::results
