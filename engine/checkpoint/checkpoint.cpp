#include "engine/checkpoint/checkpoint.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "engine/checkpoint/binding.h"
#include "engine/checkpoint/random_weights.h"
#include "engine/checkpoint/shards.h"

namespace assay::engine {

namespace fs = std::filesystem;

struct Checkpoint::State {
  fs::path directory;
  ModelConfig config;
  ShardSet shards;                       // none where the weights are random
  std::unique_ptr<RandomWeights> random;  // what the binding's views show then
  Binding binding;
  std::vector<std::string> notes;
  std::mutex mutex;
  std::set<std::pair<const std::byte*, size_t>> checked;  // bytes that are known to be finite
};

Checkpoint::Checkpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}
Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;

namespace {

// The first problem, with the number of the others.
void throw_first(const std::vector<Error>& problems) {
  if (problems.empty()) return;
  const Error& first = problems.front();
  const size_t more = problems.size() - 1;
  const std::string others = more == 0
                                 ? ""
                                 : " (and " + std::to_string(more) + " more problem" +
                                       (more == 1 ? "" : "s") + ", listed by `assay inspect`)";
  throw Error(first.kind(), first.message() + others, first.where(), first.remedy());
}

}  // namespace

Numerics numerics_of_weights(std::span<const TensorView> tensors) {
  bool all_bf16 = true;
  for (const TensorView& tensor : tensors) {
    if (tensor.dtype == DType::f8_e4m3) return Numerics::fp8_weights;
    if (tensor.rank == 2 && tensor.dtype != DType::bf16) all_bf16 = false;
  }
  return all_bf16 ? Numerics::bf16 : Numerics::fp32;
}

void require_checkpoint_directory(const fs::path& model) {
  std::error_code ignored;
  if (!fs::is_directory(model, ignored))
    throw_bad_input("no such directory", model.string(),
                    "a checkpoint is a directory with config.json and *.safetensors");
}

Checkpoint Checkpoint::open(const fs::path& directory, const fs::path& config_file) {
  require_checkpoint_directory(directory);
  auto state = std::make_unique<State>();
  state->directory = directory;
  state->config = load_config(config_file.empty() ? directory / "config.json" : config_file);
  state->notes = state->config.notes;
  std::vector<Error> problems;
  state->shards = ShardSet::open(directory, problems, state->notes);
  throw_first(problems);
  state->binding = bind_weights(state->config, state->shards, directory.string());
  throw_first(state->binding.problems);
  for (const std::string& note : state->binding.notes) state->notes.push_back(note);
  return Checkpoint(std::move(state));
}

Checkpoint Checkpoint::random(const ModelConfig& config) {
  auto state = std::make_unique<State>();
  state->config = config;
  state->notes = config.notes;
  state->random = std::make_unique<RandomWeights>(config);
  state->binding = state->random->take_binding();
  return Checkpoint(std::move(state));
}

const fs::path& Checkpoint::directory() const { return state_->directory; }
const ModelConfig& Checkpoint::config() const { return state_->config; }
const ModelWeights& Checkpoint::weights() const { return state_->binding.weights; }
std::span<const TensorView> Checkpoint::tensors() const { return state_->binding.tensors; }
const std::vector<std::string>& Checkpoint::notes() const { return state_->notes; }

TensorView Checkpoint::find(std::string_view name) const {
  const auto& all = state_->binding.tensors;
  const auto it =
      std::lower_bound(all.begin(), all.end(), name,
                       [](const TensorView& t, std::string_view n) { return t.name < n; });
  return it != all.end() && it->name == name ? *it : TensorView{};
}

const fs::path& Checkpoint::shard_path(int shard) const {
  return state_->shards.files()[static_cast<size_t>(shard)].path();
}

namespace {

// Advice about the pages of a tensor; nothing where it is a copy and not in the map.
void advise(std::span<const std::byte> file, const TensorView& tensor, int advice) {
  const auto begin = reinterpret_cast<uintptr_t>(file.data());
  const auto at = reinterpret_cast<uintptr_t>(tensor.data);
  if (at < begin || at >= begin + file.size()) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = at / page * page, last = at + tensor.bytes();
  ::madvise(reinterpret_cast<void*>(first), last - first, advice);
}

}  // namespace

void Checkpoint::release_pages(const TensorView& tensor) const {
  if (state_->random) return;
  advise(state_->shards.files()[static_cast<size_t>(tensor.shard)].bytes(), tensor, MADV_DONTNEED);
}

void Checkpoint::will_need(std::span<const TensorView> tensors) const {
  if (state_->random) return;
  for (const TensorView& tensor : tensors) {
    advise(state_->shards.files()[static_cast<size_t>(tensor.shard)].bytes(), tensor, MADV_WILLNEED);
  }
}

std::vector<TensorView> tensors_of(const LayerWeights& w) {
  const AttentionWeights& a = w.attention;
  std::vector<TensorView> out;
  for (const TensorView& tensor : {w.input_norm,  w.post_attention_norm,
                                   a.q_a,         a.q_a_norm,
                                   a.q_b,         a.kv_a,
                                   a.kv_a_norm,   a.kv_b,
                                   a.q,           a.k,
                                   a.v,           a.q_bias,
                                   a.k_bias,      a.v_bias,
                                   a.q_norm,      a.k_norm,
                                   a.o,           a.o_bias,
                                   a.q_a_bias,    a.kv_a_bias,
                                   w.mlp.gate,    w.mlp.up,
                                   w.mlp.down,    w.router,
                                   w.router_bias, w.shared.gate,
                                   w.shared.up,   w.shared.down}) {
    if (tensor) out.push_back(tensor);
  }
  return out;
}

std::vector<TensorView> tensors_of(std::span<const MlpWeights> experts) {
  std::vector<TensorView> out;
  for (const MlpWeights& e : experts) out.insert(out.end(), {e.gate, e.up, e.down});
  return out;
}

template <class Check>
void Checkpoint::once(const TensorView& tensor, const Check& check) const {
  if (state_->random) return;  // finite by construction
  const std::pair<const std::byte*, size_t> key{tensor.data, tensor.bytes()};
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->checked.contains(key)) return;
  }
  check(shard_path(tensor.shard).string());
  const std::lock_guard lock(state_->mutex);
  state_->checked.insert(key);
}

void Checkpoint::check_values(const TensorView& tensor, const Workers* workers) const {
  once(tensor, [&](const std::string& file) {
    check_finite(tensor, state_->config.ue8m0_scales, file, 0, workers);
  });
}

void Checkpoint::check_table(const TensorView& table, const Workers& workers) const {
  constexpr int64_t kRows = 16384;
  if (table.scale) return check_values(table, &workers);  // slices would cut scale blocks
  once(table, [&](const std::string& file) {
    for (int64_t row = 0; row < table.rows(); row += kRows) {
      TensorView slice = table;
      slice.shape[0] = std::min(kRows, table.rows() - row);
      slice.data += row * table.cols() * dtype_bytes(table.dtype);
      check_finite(slice, state_->config.ue8m0_scales, file, row, &workers);
      release_pages(slice);
    }
  });
}

}  // namespace assay::engine
