#include "engine/checkpoint/random_weights.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "engine/checkpoint/layout.h"

namespace assay::engine {

namespace {

constexpr size_t kPoolBytes = 1031 * 4096;  // pages, a prime number: no two rows of a matrix are equal
constexpr size_t kWindowAlignment = 64;
constexpr float kSpread = 0.02f;
constexpr float kE4m3Spread = 64;  // of stored values, which kScale brings back to about kSpread
constexpr float kScale = 1.0f / 4096;

}  // namespace

// kPoolBytes of memory, mapped over and over so that `bytes` and more can be read from any place.
class RandomWeights::Pool {
 public:
  explicit Pool(size_t bytes) : size_((bytes / kPoolBytes + 2) * kPoolBytes) {
    const int file = ::memfd_create("random-weights", MFD_CLOEXEC);
    if (file < 0 || ::ftruncate(file, static_cast<off_t>(kPoolBytes)) != 0) fail();
    void* range =
        ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) fail();
    data_ = static_cast<std::byte*>(range);
    for (size_t at = 0; at < size_; at += kPoolBytes) {
      if (::mmap(data_ + at, kPoolBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) ==
          MAP_FAILED) {
        fail();
      }
    }
    ::close(file);
  }
  ~Pool() {
    if (data_ != nullptr) ::munmap(data_, size_);
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  template <class Draw>
  void fill(const Draw& draw) {
    using T = decltype(draw());
    auto* elements = reinterpret_cast<T*>(data_);
    for (size_t i = 0; i < kPoolBytes / sizeof(T); ++i) elements[i] = draw();
  }
  const std::byte* window(Random& random) const {
    return data_ + random.below(kPoolBytes / kWindowAlignment) * kWindowAlignment;
  }

 private:
  [[noreturn]] static void fail() {
    throw_resource(std::string("random weights: ") + std::strerror(errno), {},
                   "the system refuses a few MiB of shared memory");
  }
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

RandomWeights::~RandomWeights() = default;

RandomWeights::RandomWeights(const ModelConfig& config) {
  std::vector<WeightSlot> slots;
  for_each_weight(config, binding_.weights, [&](const WeightSlot& slot) { slots.push_back(slot); });
  size_t largest = 0;
  for (const WeightSlot& slot : slots) {
    largest = std::max(largest, static_cast<size_t>(slot.shape[0] * slot.shape[1]) * 2);
  }
  Random values(1, 0), windows(1, 1);
  const auto pool = [&](const auto& draw) {
    pools_.push_back(std::make_unique<Pool>(largest));
    pools_.back()->fill(draw);
    return pools_.back().get();
  };
  const auto normal = [&] { return static_cast<float>(values.normal()); };
  const Pool* matrices = pool([&] { return float_to_bf16(kSpread * normal()); });
  const Pool* norms = pool([&] { return float_to_bf16(1 + kSpread * normal()); });
  const Pool *e4m3 = nullptr, *scales = nullptr;
  if (config.fp8_weights) {
    e4m3 = pool([&] { return float_to_e4m3(kE4m3Spread * normal()); });
    scales = pool([&] {
      const float stretch = config.ue8m0_scales ? 1 : 1 + static_cast<float>(values.uniform()) / 2;
      return stretch * kScale;
    });
  }
  for (const WeightSlot& slot : slots) {
    TensorView& view = *slot.view;
    view.name = names_.emplace_back(slot.name);
    view.rank = slot.rank;
    view.shape = slot.shape;
    const bool fp8 = config.fp8_weights && slot.kind == WeightKind::matrix &&
                     !slot.name.ends_with("eh_proj.weight");
    const bool norm = slot.name.ends_with("norm.weight");
    view.dtype = fp8 ? DType::f8_e4m3 : DType::bf16;
    view.data = (fp8 ? e4m3 : norm ? norms : matrices)->window(windows);
    if (fp8) {
      view.block = config.scale_block;
      view.scale_rows = (slot.shape[0] + config.scale_block - 1) / config.scale_block;
      view.scale_cols = (slot.shape[1] + config.scale_block - 1) / config.scale_block;
      view.scale = reinterpret_cast<const float*>(scales->window(windows));
    }
    binding_.tensors.push_back(view);
  }
  if (config.tied_head) binding_.weights.head = binding_.weights.embedding;
  std::sort(binding_.tensors.begin(), binding_.tensors.end(),
            [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
}

ModelConfig config_of(const ModelShape& shape) {
  const json::Document document = json::Document::parse(shape.config, shape.source);
  ModelConfig config = parse_config(document.root(), shape.source);
  if (shape.weights) config.fp8_weights = *shape.weights == WeightType::fp8;
  if (shape.layers > 0) {
    if (shape.layers > config.layers) {
      throw_usage("the model has " + std::to_string(config.layers) + " layers only");
    }
    config.layers = shape.layers;
    config.moe.first_layer = 0;
    config.mtp_layers = 0;
  }
  return config;
}

}  // namespace assay::engine
