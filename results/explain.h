// `assay explain A B TASK`: why do two numbers differ.
//
// First, where the two sides have different headline metrics (acc.sum against acc.token), A is judged
// by B's, which its documents have as well. Then the gap is split over documents: each document's
// difference goes to the first stage at which the two runs part, so that the parts add up to the gap
// exactly.
//
//   normalisation  the same outputs of A under B's metric
//   documents      asked in one run only, or with another content
//   exemplars      the prompts differ, but end alike (the question is the same)
//   template       the prompts differ in the question's own text
//   options        the same prompt, other continuations to score
//   boundary       the same text, cut into other tokens where prompt and continuation meet
//   numerics       the same request, other log-probabilities or another text; called "checkpoint" where
//                  the weights differ
//   extraction     the same generation, another answer found in it
//   execution      the same program, another verdict
//   judging        the same answer, another value: grading rules, references, ties
//   aggregation    what remains because the headline averages differently
//
// What the store cannot tell is said: identities that differ in several ways at once, and stages that
// cannot be told apart because the outputs differ already. Same documents with unequal contents are
// counted under "documents".
#pragma once

#include <string>
#include <vector>

#include "results/queries.h"
#include "results/table.h"

namespace assay::results {

struct ExplainPart {
  std::string stage;
  int64_t documents = 0;  // that part at this stage
  int64_t changed = 0;    // of them, with another value
  double contribution = 0;  // to the gap B - A, in the metric's unit
};

struct Explanation {
  EvaluationSummary a, b;
  std::string metric_a, metric_b;
  double value_a = 0, value_b = 0;
  std::vector<ExplainPart> parts;  // their contributions add up to value_b - value_a
  std::vector<std::string> notes;
};

// `task`: TASK or TASK@VARIANT, the same or one for each side ("mmlu@ds,mmlu@lmeval").
Explanation explain(const Store& store, const RunSummary& a, const RunSummary& b,
                    const std::string& task);

Table explanation_table(const Explanation& explanation);
std::string explanation_json(const Explanation& explanation);

}  // namespace assay::results
