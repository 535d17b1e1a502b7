// The CUDA backend: host side of every op, over a Queue.
//
// Included after a Queue: queue.h (nvcc) or the emulation's (tests). All launches, copies and sorts
// go to one stream in the order of the calls; nothing waits but what returns results to the host.
//
// Numerics modes as on the CPU (docs/numerics.md). Products of bf16 and FP8 modes run on tensor
// cores in bf16 (an e4m3 value is exact in bf16), fp32 and router weights on fp32 units; attention,
// norms and softmax are fp32. Where the queue is tuned() (sm_90a), products of bf16 and
// e4m3 are those of hopper/ instead.
#pragma once

#include <algorithm>
#include <bit>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/checkpoint/tensor.h"
#include "engine/ops/cuda/attention.h"
#include "engine/ops/cuda/attention_tensor.h"
#include "engine/ops/cuda/experts.h"
#include "engine/ops/cuda/head.h"
#include "engine/ops/cuda/hopper/mixed_product.h"
#include "engine/ops/cuda/packing.h"
#include "engine/ops/cuda/product.h"
#include "engine/ops/cuda/rowwise.h"
#include "engine/ops/cuda/sampling.h"
#include "engine/ops/ops.h"

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

// Memory that a queue gave.
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(Queue& queue, size_t bytes) : queue_(&queue), bytes_(bytes) {
    memory_ = queue.allocate(bytes);
    if (memory_ == nullptr) throw OutOfMemory(bytes, "the device");
  }
  DeviceArray(DeviceArray&& other) noexcept { swap(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    DeviceArray(std::move(other)).swap(*this);
    return *this;
  }
  ~DeviceArray() {
    if (memory_ != nullptr) queue_->release(memory_);
  }
  // At least `bytes`; earlier content is lost when it grows.
  template <class T>
  T* ensure(Queue& queue, int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    if (bytes > bytes_ || memory_ == nullptr) {
      DeviceArray().swap(*this);
      DeviceArray(queue, std::max<size_t>(bytes, 256)).swap(*this);
    }
    return reinterpret_cast<T*>(memory_);
  }
  std::byte* data() const { return memory_; }
  size_t bytes() const { return bytes_; }

 private:
  void swap(DeviceArray& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
  }
  Queue* queue_ = nullptr;
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
};

struct DevicePart {
  HostPart shape;  // without its bytes
  DeviceArray weights, scale;
  TensorMap map{};  // of the weights, where tuned

  Weight weight() const {
    return {weights.data(), reinterpret_cast<const float*>(scale.data())};
  }
  Operand operand() const {
    if (shape.storage == DeviceStorage::f32) return Operand::f32;
    return shape.quantised ? Operand::e4m3 : Operand::bf16;
  }
};

struct DeviceMatrix final : Matrix {
  std::vector<DevicePart> parts;
};

// Pinned host memory; null where there is none left.
class PinnedArray {
 public:
  PinnedArray(Queue& queue, size_t bytes) : memory_(queue.allocate_pinned(bytes)) {}
  PinnedArray(PinnedArray&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
  PinnedArray& operator=(PinnedArray&&) = delete;
  ~PinnedArray() {
    if (memory_ != nullptr) Queue::release_pinned(memory_);
  }
  std::byte* data() const { return memory_; }

 private:
  std::byte* memory_;
};

struct DeviceKeptMatrix final : KeptMatrix {
  struct Part {
    HostPart shape;  // without its bytes
    size_t weight_bytes, scale_bytes;
    PinnedArray memory;  // weights, then scales
  };
  int64_t n = 0, k = 0;
  std::vector<Part> parts;
};

class DeviceBackend final : public Backend {
 public:
  DeviceBackend(std::unique_ptr<Queue> queue, Numerics numerics, const Workers& workers,
                bool ue8m0_activations)
      : queue_(std::move(queue)), numerics_(numerics), workers_(workers), ue8m0_(ue8m0_activations) {
    profile_ = queue_->name() + "/" + std::string(numerics_name(numerics));
    if (numerics == Numerics::fp8 && ue8m0_) profile_ += "-ue8m0";
  }

  std::string_view profile() const override { return profile_; }
  Numerics numerics() const override { return numerics_; }
  KvType kv_type() const override { return kv_type_of(numerics_, DeviceKind::cuda); }
  const Workers& workers() const override { return workers_; }
  const Queue& queue() const { return *queue_; }

  // --- memory -------------------------------------------------------------------------------------
  std::byte* allocate(size_t bytes) const override { return queue_->allocate(std::max<size_t>(bytes, 1)); }
  void trim() const override {
    for (DeviceArray* array :
         {&overflow_, &operand_, &operand_scale_, &expert_hidden_, &expert_out_, &expert_,
          &expert_weight_, &sorted_, &entries_, &entry_, &entry_row_, &place_, &tiles_, &tile_count_,
          &columns_, &ranked_, &ranked_ids_, &choices_, &logits_, &head_state_, &logprob_, &argmax_,
          &argmax_logprob_}) {
      *array = DeviceArray();
    }
    queue_->trim();
  }
  void release(std::byte* memory, size_t) const override {
    if (memory != nullptr) queue_->release(memory);
  }
  void upload(std::byte* to, const void* from, size_t bytes) const override {
    queue_->upload(to, from, bytes);
  }
  void download(void* to, const std::byte* from, size_t bytes) const override {
    queue_->download(to, from, bytes);
  }
  void copy_rows(const std::byte* from, int64_t from_stride, std::span<const int32_t> from_rows,
                 std::byte* to, int64_t to_stride, std::span<const int32_t> to_rows, int64_t count,
                 int64_t bytes) const override {
    if (count == 0) return;
    CopyArgs args{reinterpret_cast<const unsigned char*>(from), from_stride, stage(from_rows),
                  reinterpret_cast<unsigned char*>(to),         to_stride,   stage(to_rows),   0};
    const auto all = static_cast<int64_t>(reinterpret_cast<uintptr_t>(from) |
                                          reinterpret_cast<uintptr_t>(to)) |
                     from_stride | to_stride | bytes;
    if (all % 16 == 0) {
      args.units = bytes / 16;
      queue_->launch(copy_kernel<uint4>, blocks(count), kRowThreads, 0, args);
    } else if (all % 4 == 0) {
      args.units = bytes / 4;
      queue_->launch(copy_kernel<uint32_t>, blocks(count), kRowThreads, 0, args);
    } else {
      args.units = bytes / 2;
      queue_->launch(copy_kernel<uint16_t>, blocks(count), kRowThreads, 0, args);
    }
  }
  void finish() const override { queue_->synchronise(); }
  int64_t rows_at_once(int64_t) const override { return kGpuRowsAtOnce; }

  // --- weights ------------------------------------------------------------------------------------
  std::unique_ptr<Matrix> prepare(std::span<const TensorView> tensors, Stacking stacking,
                                  Role role) const override {
    return to_device(pack_parts(workers_, numerics_, tensors, stacking, role));
  }
  std::unique_ptr<Matrix> prepare_slice(const TensorView& tensor, int64_t first_row, int64_t n,
                                        bool transpose, Role role) const override {
    return to_device(pack_part_slice(workers_, numerics_, tensor, first_row, n, transpose, role));
  }

  std::unique_ptr<KeptMatrix> keep(const Matrix& matrix) const override;
  std::unique_ptr<Matrix> load(const KeptMatrix& kept) const override;

  // --- row-wise -----------------------------------------------------------------------------------
  // The table stays in host memory: its rows are gathered there and uploaded.
  void embed(const TensorView& table, std::span<const TokenId> ids, Rows out) const override {
    require(table.cols() == out.cols && static_cast<int64_t>(ids.size()) == out.rows, "embed: shapes");
    const int64_t step = std::max<int64_t>(1, (int64_t{1} << 20) / out.cols);
    std::vector<float> rows;
    for (int64_t begin = 0; begin < out.rows; begin += step) {
      const int64_t n = std::min(step, out.rows - begin);
      rows.resize(static_cast<size_t>(n * out.cols));
      workers_.for_ranges(n, 8, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t id = ids[static_cast<size_t>(begin + i)];
          require(id >= 0 && id < table.rows(), "embed: token id out of range");
          dequantize_row(table, id, &rows[static_cast<size_t>(i * out.cols)]);
        }
      });
      const float* staged = queue_->stage(rows.data(), rows.size());
      copy_rows(reinterpret_cast<const std::byte*>(staged), out.cols * 4, {},
                reinterpret_cast<std::byte*>(out.row(begin)), out.stride * 4, {}, n, out.cols * 4);
    }
  }
  void rms_norm(ConstRows x, const float* weight, double eps, Rows out) const override {
    if (x.rows == 0) return;
    queue_->launch(norm_kernel, blocks(x.rows), kRowThreads, 0,
                   NormArgs{x.data, x.stride, 0, weight, eps, out.data, out.stride, 0,
                            static_cast<int>(x.cols)});
  }
  void head_norm(Rows x, int heads, int64_t head_stride, int dim, const float* weight,
                 double eps) const override {
    if (x.rows == 0) return;
    queue_->launch(norm_kernel, dim3(narrow(x.rows), narrow(heads)), kRowThreads, 0,
                   NormArgs{x.data, x.stride, head_stride, weight, eps, x.data, x.stride, head_stride, dim});
  }
  void add(Rows accumulator, ConstRows x) const override {
    if (x.rows == 0) return;
    queue_->launch(add_kernel, blocks(x.rows), kRowThreads, 0,
                   AddArgs{accumulator.data, accumulator.stride, x.data, x.stride, static_cast<int>(x.cols)});
  }
  bool all_finite(ConstRows x) const override {
    if (x.rows == 0) return true;
    require(step_layers_ == 0, "all_finite: within a step");
    look_for_overflow(x, 0);
    return read_overflow() < 0;
  }
  void rope(Rows x, int heads, int64_t head_stride, int64_t offset, int dim, const int32_t* positions,
            const RopeTable& table) const override {
    if (x.rows == 0) return;
    const int pairs = dim / 2;
    require(dim % 2 == 0 && static_cast<int>(table.inverse_frequency.size()) == pairs &&
                pairs <= kMostPairs,
            "rope: shapes");
    queue_->launch(rope_kernel, blocks(x.rows), kRowThreads, 0,
                   RopeArgs{x.data + offset, x.stride, head_stride, heads, pairs, table.interleaved,
                            queue_->stage(positions, static_cast<size_t>(x.rows)),
                            queue_->stage(table.inverse_frequency.data(), static_cast<size_t>(pairs)),
                            table.multiplier});
  }
  void to_bf16(ConstRows x, uint16_t* out, int64_t out_stride) const override {
    if (x.rows == 0) return;
    queue_->launch(to_bf16_kernel, blocks(x.rows), kRowThreads, 0,
                   Bf16Args{const_cast<float*>(x.data), x.stride, out, out_stride, static_cast<int>(x.cols)});
  }
  void from_bf16(const uint16_t* x, int64_t stride, Rows out) const override {
    if (out.rows == 0) return;
    queue_->launch(from_bf16_kernel, blocks(out.rows), kRowThreads, 0,
                   Bf16Args{out.data, out.stride, const_cast<uint16_t*>(x), stride, static_cast<int>(out.cols)});
  }

  // --- steps: backend_step.h -----------------------------------------------------------------------
  bool begin_step(int layers) const override;
  void note_layer(ConstRows x, bool routed) const override;
  void end_step(StepNotes& out) const override;
  void drop_step() const override;

  // --- products, attention, head: backend_products.h; experts: backend_experts.h --------------------
  void linear(const Matrix& weight, ConstRows x, const float* bias, Rows out) const override;
  void linear_swiglu(const Matrix& gate_up, ConstRows x, Rows out) const override;
  void linear_heads(std::span<const std::unique_ptr<Matrix>> per_head, ConstRows x,
                    int64_t x_head_stride, Rows out, int64_t out_head_stride) const override;
  void attention(const Attention& args) const override;
  void route(const Router& router, ConstRows logits, Routing& out) const override;
  void read_routing(Routing& routing) const override;
  void experts(std::span<const ExpertWeights> experts, int top_k, const Routing& routing, ConstRows x,
               Rows out) const override;
  void combine(const Routing& routing, int top_k, ConstRows y, std::span<const int32_t> place,
               Rows out) const override;
  void head_score(const Matrix& head, ConstRows hidden, const HeadTargets& targets, float* logprob,
                  int32_t* argmax, float* argmax_logprob) const override;
  void head_sample(const Matrix& head, ConstRows hidden, std::span<const Draw> draws,
                   Choice* out) const override;
  void head_logits(const Matrix& head, ConstRows hidden, Rows out) const override;

 private:
  static void require(bool condition, const char* what) {
    if (!condition) throw_internal(what, "engine/ops/cuda");
  }
  static unsigned narrow(int64_t n) { return static_cast<unsigned>(n); }
  static dim3 blocks(int64_t n) { return dim3(narrow(n)); }
  static const DeviceMatrix& on_device(const Matrix& matrix) {
    return static_cast<const DeviceMatrix&>(matrix);
  }
  const int32_t* stage(std::span<const int32_t> list) const {
    return list.empty() ? nullptr : queue_->stage(list.data(), list.size());
  }

  void add_map(DevicePart& part) const {
    if (!tuned(part.shape)) return;
    part.map = queue_->make_map(part.weights.data(), part.shape.rows, part.shape.padded_k,
                                part.shape.storage == DeviceStorage::e4m3);
  }
  std::unique_ptr<Matrix> to_device(std::vector<HostPart> parts) const {
    auto matrix = std::make_unique<DeviceMatrix>();
    for (HostPart& host : parts) {
      if (tuned(host) && tuned_operands(host) == hopper::TunedOperands::mixed) {
        interleave_for_registers(workers_, host);
      }
      DevicePart part;
      const auto put = [&](const auto& values) {
        const size_t bytes = values.size() * sizeof(values[0]);
        DeviceArray memory(*queue_, bytes);
        queue_->upload(memory.data(), values.data(), bytes);
        matrix->bytes += bytes;
        return memory;
      };
      part.weights = put(host.weights);
      if (!host.scale.empty()) part.scale = put(host.scale);
      host.weights = {};
      host.scale = {};
      matrix->k = host.k;
      matrix->n += host.gate_up ? 2 * host.outputs : host.outputs;
      part.shape = std::move(host);
      add_map(part);
      matrix->parts.push_back(std::move(part));
    }
    return matrix;
  }

  // Overwrites the numbers before where it is 0.
  void look_for_overflow(ConstRows x, int number) const {
    int32_t* overflow = overflow_.ensure<int32_t>(*queue_, 1);
    if (number == 0) queue_->launch(clear_kernel, dim3(1), 1, 0, FiniteArgs{nullptr, 0, 0, overflow, 0});
    queue_->launch(finite_kernel, blocks(x.rows), kRowThreads, 0,
                   FiniteArgs{x.data, x.stride, static_cast<int>(x.cols), overflow, number});
  }
  // The first number whose rows were not finite; negative: none.
  int32_t read_overflow() const {
    int32_t first = -1;
    download(&first, overflow_.data(), sizeof first);
    return first;
  }
  void start_reading_routing(int64_t entries) const;

  // What attention() has staged, for the layers of a step that have the same segments.
  struct StagedTiles {
    std::vector<Segment> segments;
    int heads, kv_heads;
    int32_t most;  // pairs of a tile
    const TileGroup* groups;
    const PairTile* tiles;
    const int32_t* slots;
    int64_t count;  // of groups
  };
  StagedTiles stage_tiles(const Attention& args, int32_t most) const;

  struct AttentionPlan {
    bool tensor = false;  // on tensor cores; all else is theirs
    int across = 1, stages = 1, shared_bytes = 0;
    bool wide = false, value_is_key = false;
  };
  AttentionPlan plan_attention(const Attention& args) const;

  // Rows of x in the form that a part multiplies.
  struct Packed {
    const void* data;
    const float* scale;
    int64_t rows, batch_stride;
    Operand kind;
    int64_t padded_k;
  };
  Packed pack(const HostPart& shape, Operand kind, ConstRows x, const int32_t* rows, int64_t count,
              int64_t heads = 1, int64_t head_stride = 0) const;
  // The routed experts of a layer; unprepared ones have null weights.
  struct ExpertGroup {
    const DevicePart *up = nullptr, *down = nullptr;  // any expert's: all have the same shape
    std::vector<Weight> up_weights, down_weights;
    std::vector<TensorMap> up_maps, down_maps;
  };
  void expert_rows(const ExpertGroup& group, int top_k, const int32_t* chosen, const float* weight,
                   ConstRows x, Rows out) const;
  // One launch; `tiles` null: all rows, `weights` one per batch entry or null.
  struct Launch {
    const DevicePart* part;
    Packed a;
    int64_t batch = 1;
    const Weight* weights = nullptr;
    std::vector<TensorMap> maps;  // of `weights`, where tuned
    const RowTile* tiles = nullptr;
    const int32_t* tile_count = nullptr;
    int64_t most_tiles = 0, tile_rows = 0;
    int64_t first_column = 0, columns = 0;  // of the part (whole granules); 0: all
    const float* bias = nullptr;
    float* out = nullptr;
    int64_t out_stride = 0, out_batch = 0;
  };
  void multiply(const Launch& launch) const;
  template <class Tile, bool kE4m3>
  void multiply_tiles(const Launch& launch, const ProductArgs& args) const;
  void multiply_tuned(const Launch& launch, const ProductArgs& args) const;
  bool tuned(const HostPart& shape) const {
    return queue_->tuned() && shape.storage != DeviceStorage::f32;
  }
  static hopper::TunedOperands tuned_operands(const HostPart& shape) {
    if (shape.storage == DeviceStorage::bf16) return hopper::TunedOperands::bf16;
    return shape.quantised ? hopper::TunedOperands::e4m3 : hopper::TunedOperands::mixed;
  }
  int64_t tile_rows(const HostPart& shape, int64_t rows) const {
    if (tuned(shape)) return hopper::kTileRows;
    if (shape.storage == DeviceStorage::f32) return kFp32Tile;
    return rows <= kSmallRows ? SmallTile::kTileRows : LargeTile::kTileRows;
  }

  const std::unique_ptr<Queue> queue_;
  const Numerics numerics_;
  const Workers& workers_;
  const bool ue8m0_;
  std::string profile_;

  // Work space; grows to the largest call.
  mutable DeviceArray overflow_, operand_, operand_scale_, expert_hidden_, expert_out_;
  mutable DeviceArray expert_, expert_weight_;  // the last route()'s result
  mutable DeviceArray sorted_, entries_, entry_, entry_row_, place_, tiles_, tile_count_;
  mutable DeviceArray columns_, ranked_, ranked_ids_, choices_;  // sampling
  mutable DeviceArray logits_, head_state_, logprob_, argmax_, argmax_logprob_;
  mutable int64_t routed_ = 0;  // entries
  mutable const int32_t* routed_expert_ = nullptr;
  mutable const float* routed_weight_ = nullptr;
  // The step: its layers (0: there is none), those noted so far, which of them route.
  mutable int step_layers_ = 0, step_noted_ = 0;
  mutable int64_t step_routed_ = 0;
  mutable std::vector<StagedTiles> step_tiles_;
};

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE

#include "engine/ops/cuda/backend_experts.h"
#include "engine/ops/cuda/backend_kept.h"
#include "engine/ops/cuda/backend_products.h"
#include "engine/ops/cuda/backend_step.h"
