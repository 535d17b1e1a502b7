#include "engine/checkpoint/binding.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "engine/checkpoint/layout.h"

namespace assay::engine {

namespace {

std::optional<DType> usable_dtype(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f8_e4m3})
    if (dtype_name(dtype) == name) return dtype;
  return std::nullopt;
}

int64_t blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

class Binder {
 public:
  Binder(const ModelConfig& config, const ShardSet& shards, const std::string& directory)
      : config_(config), shards_(shards), directory_(directory) {}

  Binding run() {
    std::vector<WeightSlot> slots;
    for_each_weight(config_, out_.weights, [&](const WeightSlot& slot) { slots.push_back(slot); });
    const bool has_mtp = any_mtp_tensor(slots);
    for (const WeightSlot& slot : slots)
      if (!slot.mtp || has_mtp) bind(slot);
    if (config_.tied_head) bind_tied_head();
    if (out_.weights.mtp) finish_mtp(has_mtp);
    report_surplus();
    std::sort(out_.tensors.begin(), out_.tensors.end(),
              [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
    return std::move(out_);
  }

 private:
  void problem(std::string what, std::string where, std::string remedy = {}) {
    out_.problems.emplace_back(ErrorKind::bad_input, std::move(what), std::move(where),
                               std::move(remedy));
  }

  const ShardedTensor* find(const std::string& name) const {
    const auto it = shards_.tensors().find(name);
    return it == shards_.tensors().end() ? nullptr : &it->second;
  }

  bool any_mtp_tensor(const std::vector<WeightSlot>& slots) const {
    return std::any_of(slots.begin(), slots.end(),
                       [&](const WeightSlot& s) { return s.mtp && find(s.name); });
  }

  void bind(const WeightSlot& slot) {
    const ShardedTensor* found = find(slot.name);
    if (!found) {
      if (slot.mtp_copy) return;
      const bool head = slot.name == "lm_head.weight";
      problem("missing", directory_ + ": tensor " + slot.name,
              head ? "config.json says that the head is not tied (tie_word_embeddings)" : "");
      return;
    }
    used_.insert(found->entry->name);
    const SafetensorsEntry& entry = *found->entry;
    std::vector<int64_t> expected{slot.shape[0]};
    if (slot.rank == 2) expected.push_back(slot.shape[1]);
    if (entry.shape != expected) {
      problem("its shape is " + shape_text(entry.shape) + ", but config.json means " +
                  shape_text(expected),
              shards_.where(*found));
      return;
    }
    const std::optional<DType> dtype = usable_dtype(entry.dtype);
    if (!dtype || (*dtype == DType::f8_e4m3 && slot.kind != WeightKind::matrix)) {
      problem("dtype " + entry.dtype + " is not supported here", shards_.where(*found),
              slot.kind == WeightKind::matrix
                  ? "supported: F32, BF16, F16, and F8_E4M3 with 128x128 block scales"
                  : "supported: F32, BF16, F16");
      return;
    }
    TensorView view;
    view.name = entry.name;
    view.dtype = *dtype;
    view.rank = slot.rank;
    view.shape = slot.shape;
    view.shard = found->shard;
    view.offset = entry.offset;
    view.data = aligned(*found, dtype_bytes(*dtype));
    if (*dtype == DType::f8_e4m3 && !bind_scale(slot, *found, view)) return;
    *slot.view = view;
    out_.tensors.push_back(view);
  }

  bool bind_scale(const WeightSlot& slot, const ShardedTensor& weight, TensorView& view) {
    if (!config_.fp8_weights) {
      problem("is F8_E4M3, but config.json has no quantization_config", shards_.where(weight));
      return false;
    }
    const std::string name = slot.name + "_scale_inv";
    const ShardedTensor* found = find(name);
    if (!found) {
      problem("missing", directory_ + ": tensor " + name, "an F8_E4M3 weight needs its scales");
      return false;
    }
    used_.insert(found->entry->name);
    view.block = config_.scale_block;
    view.scale_rows = blocks(slot.shape[0], view.block);
    view.scale_cols = blocks(slot.shape[1], view.block);
    const std::vector<int64_t> expected{view.scale_rows, view.scale_cols};
    const std::string& dtype = found->entry->dtype;
    if (dtype != "F32" && dtype != "BF16" && dtype != "F8_E8M0")
      problem("scales of dtype " + dtype + " are not supported", shards_.where(*found),
              "supported: F32, BF16, F8_E8M0");
    else if (found->entry->shape != expected)
      problem("its shape is " + shape_text(found->entry->shape) + ", but 128x128 blocks of " +
                  shape_text({slot.shape[0], slot.shape[1]}) + " need " + shape_text(expected),
              shards_.where(*found));
    else if (dtype == "F8_E8M0" && !config_.ue8m0_scales)
      problem("is F8_E8M0, but config.json has no scale_fmt", shards_.where(*found),
              "quantization_config.scale_fmt \"ue8m0\" says that activations are scaled so, too");
    else if (dtype == "F32")
      view.scale = reinterpret_cast<const float*>(aligned(*found, sizeof(float)));
    else
      view.scale = widened(*found, dtype == "BF16");
    return view.scale != nullptr;
  }

  // Scales as floats: all BF16 values and all powers of two of E8M0 are (0xff is NaN).
  const float* widened(const ShardedTensor& tensor, bool bf16) {
    const std::byte* data = shards_.data(tensor);
    const size_t n = tensor.entry->bytes / (bf16 ? 2 : 1);
    out_.copies.push_back(std::make_unique<uint64_t[]>(n / 2 + 1));
    auto* out = reinterpret_cast<float*>(out_.copies.back().get());
    for (size_t i = 0; i < n; ++i) {
      const auto byte = [&](size_t at) { return std::to_integer<uint16_t>(data[at]); };
      if (bf16)
        out[i] = bf16_to_float(static_cast<uint16_t>(byte(2 * i) | byte(2 * i + 1) << 8));
      else
        out[i] = byte(i) == 0xff ? std::numeric_limits<float>::quiet_NaN()
                                 : std::ldexp(1.0f, byte(i) - 127);
    }
    return out;
  }

  // The tensor's bytes where they lie, or a copy where that is not aligned to its elements.
  const std::byte* aligned(const ShardedTensor& tensor, int64_t element_bytes) {
    const std::byte* data = shards_.data(tensor);
    if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(element_bytes) == 0) return data;
    const size_t bytes = tensor.entry->bytes;
    out_.copies.push_back(std::make_unique<uint64_t[]>(bytes / sizeof(uint64_t) + 1));
    std::memcpy(out_.copies.back().get(), data, bytes);
    return reinterpret_cast<const std::byte*>(out_.copies.back().get());
  }

  // A tied checkpoint may still store the head, if it says the same.
  void bind_tied_head() {
    ModelWeights& w = out_.weights;
    w.head = w.embedding;
    const ShardedTensor* head = find("lm_head.weight");
    const ShardedTensor* embedding = find("model.embed_tokens.weight");
    if (!head || !embedding) return;
    used_.insert(head->entry->name);
    if (head->entry->dtype == embedding->entry->dtype &&
        head->entry->shape == embedding->entry->shape &&
        std::memcmp(shards_.data(*head), shards_.data(*embedding), head->entry->bytes) == 0)
      out_.notes.push_back("lm_head.weight repeats the embedding (tie_word_embeddings is true)");
    else
      problem("differs from model.embed_tokens.weight, but config.json says that the head is tied",
              shards_.where(*head));
  }

  void finish_mtp(bool has_mtp) {
    if (!has_mtp) {
      out_.weights.mtp.reset();
      out_.notes.push_back("config.json announces a multi-token prediction layer; it is not there");
      return;
    }
    MtpWeights& mtp = *out_.weights.mtp;
    if (!mtp.embedding) mtp.embedding = out_.weights.embedding;
    if (!mtp.head) mtp.head = out_.weights.head;
    out_.notes.push_back("multi-token prediction layer " + std::to_string(config_.layers) +
                         " present; not used for scoring");
  }

  bool may_be_ignored(const std::string& name) const {
    if (name.ends_with(".rotary_emb.inv_freq")) return true;  // a buffer of old releases
    return config_.indexer_topk > 0 && name.find(".self_attn.indexer.") != std::string::npos;
  }

  void report_surplus() {
    size_t ignored = 0;
    std::string example;
    const std::string beyond = "model.layers." + std::to_string(config_.layers) + ".";
    for (const auto& [key, tensor] : shards_.tensors()) {
      const std::string& name = tensor.entry->name;
      if (used_.contains(name)) continue;
      if (may_be_ignored(name)) {
        if (ignored++ == 0) example = name;
        continue;
      }
      std::string remedy;
      if (name.starts_with(beyond))
        remedy = "config.json says num_hidden_layers " + std::to_string(config_.layers) +
                 " and num_nextn_predict_layers " + std::to_string(config_.mtp_layers);
      else if (name.ends_with("_scale_inv"))
        remedy = "only F8_E4M3 weights have scales";
      problem("surplus: nothing in config.json uses it (" + tensor.entry->dtype + " " +
                  shape_text(tensor.entry->shape) + ")",
              shards_.where(tensor), remedy);
    }
    if (ignored > 0)
      out_.notes.push_back("ignored " + std::to_string(ignored) + " tensor" +
                           (ignored > 1 ? "s" : "") + " such as " + example);
  }

  const ModelConfig& config_;
  const ShardSet& shards_;
  const std::string& directory_;
  std::set<std::string_view> used_;
  Binding out_;
};

}  // namespace

Binding bind_weights(const ModelConfig& config, const ShardSet& shards,
                     const std::string& directory) {
  return Binder(config, shards, directory).run();
}

}  // namespace assay::engine
