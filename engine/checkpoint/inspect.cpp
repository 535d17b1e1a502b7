// inspect_checkpoint: what lies in a directory, with every problem listed instead of the first
// thrown. Weights are read whole up to kWholeBytes, sampled above.
#include <algorithm>
#include <array>
#include <future>
#include <map>
#include <optional>
#include <system_error>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/workers.h"
#include "engine/checkpoint/binding.h"
#include "engine/checkpoint/shards.h"
#include "engine/engine.h"

namespace assay::engine {

namespace {

// One second or two to hash and scan; larger checkpoints are known by a sample.
constexpr uint64_t kWholeBytes = uint64_t{1} << 30;
constexpr uint64_t kSampleBytes = 4096;
constexpr size_t kMaxProblems = 50;  // a listing for people

class Inspection {
 public:
  Inspection(const fs::path& directory, bool identity_alone)
      : directory_(directory), identity_alone_(identity_alone) {}

  CheckpointInfo run() {
    const fs::path clean = fs::weakly_canonical(directory_);
    info_.name = clean.filename().string();
    read_config(directory_ / "config.json");
    read_weights();
    if (!identity_alone_) read_tokenizer();
    info_.supported = config_.has_value() && !weights_broken_;
    if (info_.problems.size() > kMaxProblems) {
      const size_t more = info_.problems.size() - kMaxProblems;
      info_.problems.resize(kMaxProblems);
      info_.problems.push_back("... and " + std::to_string(more) + " more problems");
    }
    return std::move(info_);
  }

  // `directory` is the configuration file alone.
  CheckpointInfo run_config() {
    info_.name = directory_.filename().string();
    read_config(directory_);
    info_.notes.push_back("configuration alone: weights and tokenizer were not looked for");
    if (config_) {
      info_.default_numerics = config_->fp8_weights ? Numerics::fp8_weights : Numerics::bf16;
      if (config_->mtp_layers > 0) {
        info_.notes.push_back("multi-token prediction layer " + std::to_string(config_->layers) +
                              " announced; not used for scoring");
      }
    }
    return std::move(info_);
  }

 private:
  void problem(const Error& error) { info_.problems.emplace_back(error.what()); }

  void read_config(const fs::path& path) {
    try {
      const std::string text = read_file(path);
      info_.config_digest = sha256_hex(text);
      const json::Document document = json::Document::parse(text, path.string());
      if (document.root().is_object()) {
        const json::Value type = document.root().find("model_type");
        if (type.exists() && type.is_string()) info_.architecture = type.string();
      }
      config_ = parse_config(document.root(), path.string());
    } catch (const Error& error) {
      problem(error);
      return;
    }
    info_.architecture_supported = true;
    const ModelConfig& c = *config_;
    const ParameterCount count = count_parameters(c);
    info_.parameters = count.total;
    info_.active_parameters = count.active;
    info_.mtp_parameters = count.mtp;
    info_.context_length = c.context_length;
    info_.layers = c.layers;
    info_.hidden = c.hidden;
    info_.heads = c.heads;
    info_.vocabulary = c.vocabulary;
    info_.routed_experts = c.moe.routed_experts;
    info_.experts_per_token = c.moe.experts_per_token;
    info_.shared_experts = c.moe.shared_experts;
    info_.training_step = c.training_step;
    info_.training_tokens = c.training_tokens;
    info_.notes = c.notes;
  }

  void read_weights() {
    std::vector<Error> problems;
    ShardSet shards;
    try {
      shards = ShardSet::open(directory_, problems, info_.notes);
    } catch (const Error& error) {
      problems.push_back(error);
    }
    info_.bytes = shards.bytes();
    std::map<std::string, uint64_t> dtypes;
    for (const auto& [name, tensor] : shards.tensors())
      dtypes[tensor.entry->dtype] += tensor.entry->bytes;
    info_.dtypes.assign(dtypes.begin(), dtypes.end());
    if (problems.empty()) {
      auto digest = std::async(std::launch::async, [&] { return digest_of(shards, workers_); });
      if (config_) bind(shards, problems);
      info_.weights_digest = digest.get();
    }
    weights_broken_ = !problems.empty();
    for (const Error& error : problems) problem(error);
  }

  void bind(const ShardSet& shards, std::vector<Error>& problems) {
    Binding binding = bind_weights(*config_, shards, directory_.string());
    problems = std::move(binding.problems);
    if (config_->mtp_layers > 0 && !binding.weights.mtp) info_.mtp_parameters = 0;
    info_.default_numerics = numerics_of_weights(binding.tensors);
    for (std::string& note : binding.notes) info_.notes.push_back(std::move(note));
    if (identity_alone_) return;
    if (shards.bytes() > kWholeBytes) {
      info_.notes.push_back("weights above 1 GiB: values are checked when a layer is loaded");
      return;
    }
    for (const TensorView& tensor : binding.tensors) {
      try {
        check_finite(tensor, config_->ue8m0_scales,
                     shards.files()[static_cast<size_t>(tensor.shard)].path().string(), 0, &workers_);
      } catch (const Error& error) {
        problems.push_back(error);
      }
    }
  }

  // Over every tensor in the files, by name, scales included. Of digests of the tensors, because one core
  // hashes slower than memory delivers.
  static std::string digest_of(const ShardSet& shards, const Workers& workers) {
    const bool whole = shards.bytes() <= kWholeBytes;
    if (!whole)
      for (const SafetensorsFile& file : shards.files()) file.expect_random_access();
    std::vector<const ShardedTensor*> tensors;
    for (const auto& [name, tensor] : shards.tensors()) tensors.push_back(&tensor);
    std::vector<std::array<uint8_t, 32>> digests(tensors.size());
    workers.for_each(static_cast<int64_t>(tensors.size()), [&](int64_t i) {
      const ShardedTensor& tensor = *tensors[static_cast<size_t>(i)];
      uint64_t begin = 0, n = tensor.entry->bytes;
      if (!whole && n > kSampleBytes) {
        begin = (n - kSampleBytes) / 2;
        n = kSampleBytes;
      }
      Sha256 sha;
      sha.update({reinterpret_cast<const char*>(shards.data(tensor)) + begin, n});
      digests[static_cast<size_t>(i)] = sha.finish();
    });
    Sha256 sha;
    sha.update_field(whole ? "assay weights, whole, by tensor" : "assay weights, sampled, by tensor");
    size_t i = 0;
    for (const auto& [name, tensor] : shards.tensors()) {
      sha.update_field(name).update_field(tensor.entry->dtype);
      sha.update_field(shape_text(tensor.entry->shape));
      const std::array<uint8_t, 32>& digest = digests[i++];
      sha.update_field({reinterpret_cast<const char*>(digest.data()), digest.size()});
    }
    return sha.finish_hex();
  }

  void read_tokenizer() {
    std::error_code ignored;
    if (!fs::exists(directory_ / "tokenizer.json", ignored)) {
      info_.problems.push_back((directory_ / "tokenizer.json").string() +
                               ": missing (token ids can be scored, text cannot)");
      return;
    }
    try {
      const auto tokenizer = Tokenizer::load(directory_);
      info_.tokenizer = tokenizer->description();
      info_.tokenizer_digest = tokenizer->digest();
      if (config_ && tokenizer->size() > config_->vocabulary)
        info_.problems.push_back((directory_ / "tokenizer.json").string() + ": has ids up to " +
                                 std::to_string(tokenizer->size() - 1) +
                                 ", the model's vocabulary " + "ends at " +
                                 std::to_string(config_->vocabulary - 1));
    } catch (const Error& error) {
      problem(error);
    }
  }

  const fs::path directory_;
  const bool identity_alone_;
  const Workers workers_;
  CheckpointInfo info_;
  std::optional<ModelConfig> config_;
  bool weights_broken_ = false;
};

CheckpointInfo look_at(const fs::path& model, bool identity_alone) {
  std::error_code error;
  if (fs::is_regular_file(model, error)) return Inspection(model, identity_alone).run_config();
  const fs::directory_iterator readable(model, error);
  if (error)
    throw_bad_input("cannot be read as a directory: " + error.message(), model.string(),
                    "a checkpoint is a directory with config.json and *.safetensors");
  return Inspection(model, identity_alone).run();
}

}  // namespace

CheckpointInfo inspect_checkpoint(const fs::path& model) { return look_at(model, false); }
CheckpointInfo identify_checkpoint(const fs::path& model) { return look_at(model, true); }

}  // namespace assay::engine
