// The part of generation that needs no weights (generate.h).
#include <algorithm>

#include "base/error.h"
#include "engine/execute/generate.h"
#include "engine/execute/request_name.h"

namespace assay::engine {

void check_requests(std::span<const GenerateRequest> requests, const ModelConfig& config) {
  for (size_t i = 0; i < requests.size(); ++i) {
    const GenerateRequest& request = requests[i];
    const std::string where = request_name(request.name, i);
    if (request.prompt.empty()) throw_bad_input("empty prompt", where, "give at least one token");
    for (const TokenId id : request.prompt) {
      if (id >= 0 && id < config.vocabulary) continue;
      throw_bad_input("token id " + std::to_string(id) + " is outside the vocabulary of " +
                          std::to_string(config.vocabulary),
                      where, "tokenise with this checkpoint's tokenizer");
    }
    if (static_cast<int64_t>(request.prompt.size()) >= config.context_length) {
      throw_bad_input("a prompt of " + std::to_string(request.prompt.size()) +
                          " tokens leaves no room in the context of " +
                          std::to_string(config.context_length),
                      where, "shorten the prompt (fewer shots)");
    }
    if (request.max_tokens < 1) throw_bad_input("max_tokens below 1", where, "ask for a token");
    const Sampling& sampling = request.sampling;
    if (!(sampling.temperature >= 0 && sampling.temperature < 1e6)) {
      throw_bad_input("temperature must be 0 (greedy) or positive", where);
    }
    if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
      throw_bad_input("top_p must be in (0, 1]", where);
    }
  }
}

int64_t longest_prompt(std::span<const GenerateRequest> requests) {
  size_t longest = 0;
  for (const GenerateRequest& request : requests) longest = std::max(longest, request.prompt.size());
  return static_cast<int64_t>(longest);
}

int64_t generation_limit(const GenerateRequest& request, const ModelConfig& config) {
  return std::min<int64_t>(request.max_tokens,
                           config.context_length - static_cast<int64_t>(request.prompt.size()));
}

namespace {

bool same_work(const GenerateRequest& a, const GenerateRequest& b) {
  if (a.max_tokens != b.max_tokens || a.stop != b.stop || a.stop_at_eos != b.stop_at_eos ||
      a.required != b.required) {
    return false;
  }
  const Sampling &s = a.sampling, &t = b.sampling;
  if (s.temperature != t.temperature) return false;
  return s.temperature == 0 || (s.top_p == t.top_p && s.seed == t.seed && s.stream == t.stream);
}

// Brings the subtree with the longest expected text to the front, at every branching point.
// Paths that end at the point stay before their extensions.
template <class Expected>
void longest_first(std::vector<ForestEntry>& forest, std::span<const PathView> paths,
                   const Expected& expected) {
  struct Range {
    size_t begin, end;
  };
  struct Subtree {
    size_t begin, end;
    bool ends_here;
    int64_t longest;
  };
  std::vector<Range> stack{{0, forest.size()}};
  std::vector<Subtree> subtrees;
  std::vector<ForestEntry> sorted;
  while (!stack.empty()) {
    const Range range = stack.back();
    stack.pop_back();
    if (range.end - range.begin < 2) continue;
    uint32_t depth = UINT32_MAX;
    for (size_t i = range.begin + 1; i < range.end; ++i) depth = std::min(depth, forest[i].shared);
    subtrees.clear();
    for (size_t i = range.begin; i < range.end; ++i) {
      const PathView& path = paths[forest[i].path];
      if (i == range.begin || forest[i].shared == depth) {
        subtrees.push_back({i, i, path.size() == depth, 0});
      }
      subtrees.back().end = i + 1;
      subtrees.back().longest = std::max(subtrees.back().longest, expected(forest[i].path));
    }
    const uint32_t incoming = forest[range.begin].shared;
    std::stable_sort(subtrees.begin(), subtrees.end(), [](const Subtree& a, const Subtree& b) {
      return a.ends_here != b.ends_here ? a.ends_here : a.longest > b.longest;
    });
    sorted.clear();
    for (const Subtree& subtree : subtrees) {
      const size_t at = sorted.size();
      for (size_t i = subtree.begin; i < subtree.end; ++i) sorted.push_back(forest[i]);
      sorted[at].shared = at == 0 ? incoming : depth;
      stack.push_back({range.begin + at, range.begin + sorted.size()});
    }
    std::copy(sorted.begin(), sorted.end(), forest.begin() + static_cast<ptrdiff_t>(range.begin));
  }
}

}  // namespace

std::vector<WorkItem> plan_generation(std::span<const GenerateRequest> requests,
                                      const ModelConfig& config, bool expert_load) {
  std::vector<PathView> paths;
  for (const GenerateRequest& request : requests) paths.push_back({request.prompt, {}});
  const std::vector<ForestEntry> all = build_forest(paths);

  // Prompt positions of each request that its group has seen in earlier ones, finished included.
  std::vector<uint32_t> counted(requests.size(), 0);
  if (expert_load) {
    std::vector<int> groups;
    for (const GenerateRequest& request : requests) groups.push_back(request.group);
    const std::vector<uint32_t> shared = shared_within_group(all, groups);
    for (size_t i = 0; i < all.size(); ++i) counted[all[i].path] = shared[i];
  }

  std::vector<ForestEntry> forest =
      filter_forest(all, [&](uint32_t path) { return !requests[path].finished; });
  longest_first(forest, paths,
                [&](uint32_t path) { return generation_limit(requests[path], config); });

  std::vector<WorkItem> items;
  std::vector<uint32_t> computing;  // item that computes each position of the current path
  size_t same_prompt = 0;           // first item with the current prompt
  uint32_t shared = 0;              // with the last item
  for (const ForestEntry& entry : forest) {
    const GenerateRequest& request = requests[entry.path];
    const auto size = static_cast<uint32_t>(request.prompt.size());
    shared = entry.shared;
    const bool repeated = !items.empty() && shared == size &&
                          requests[items.back().request].prompt.size() == size;
    if (!repeated) same_prompt = items.size();
    size_t item = items.size();
    for (size_t i = same_prompt; i < items.size(); ++i) {
      if (same_work(requests[items[i].request], request)) item = i;
    }
    if (item == items.size()) {
      items.push_back({entry.path, shared, {}, {}});
      computing.resize(shared);
      computing.resize(size, static_cast<uint32_t>(item));
    } else {
      items[item].identical.push_back(entry.path);
    }
    if (!expert_load) continue;
    for (uint32_t p = counted[entry.path]; p < size;) {
      uint32_t q = p + 1;
      while (q < size && computing[q] == computing[p]) ++q;
      items[computing[p]].load.push_back({p, q - p, request.group, entry.path});
      p = q;
    }
  }
  return items;
}

}  // namespace assay::engine
