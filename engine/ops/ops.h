// The op contracts: everything a layer is made of, over whatever device and instruction set.
//
// DESCRIPTION
//
// A Backend prepares weights and runs ops on rows of fp32 activations. engine/model writes each
// architecture once over these ops; ops/cpu and ops/cuda implement them; engine/reference is the
// naive referee that shares no code with them.
//
// Determinism, the invariant everything here is designed for: every output row is a function of its
// own input rows alone, computed in one fixed order of operations, whatever the number of rows in
// the call, their order, the tile they fall into, or the number of threads. In particular
//   - linear: each output element accumulates over K ascending, in one fixed scheme per backend;
//   - attention: KV blocks at absolute multiples of kAttentionBlock, ascending, online softmax;
//   - experts: combined per token in ascending expert index, in fp32;
//   - top-k and arg-max ties go to the lowest index; no atomics on floats.
// Bits may differ between backends (Backend::profile()).
//
// Memory: rows, weights and keys and values live in the backend's memory (host memory for CPU
// backends), which only Backend::allocate gives and only ops and copies touch. Everything else -
// token ids, positions, segments and their slots, row lists, targets, and the results of the head
// ops - is host memory. Ops of a backend run in the order of their calls; those that return results
// to the host wait for them, the others need not have finished when they return.
// Outputs may not alias inputs unless a comment says so. Ops need no allocation visible to the caller.
// Threads: a Backend is used by one thread at a time and spreads work over its Workers.
// Errors: shapes that do not fit are internal errors (the model checked them at load time).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/workers.h"
#include "engine/engine.h"

namespace assay::engine {
struct TensorView;  // engine/checkpoint: dtype, shape, bytes, block scales
}

namespace assay::engine::ops {

// The backend's memory ran out in the middle of an op or of the buffers around it. Nothing is broken: what
// was asked for may be asked for again, after Backend::trim() and with fewer rows.
class OutOfMemory : public Error {
 public:
  // "no memory for N bytes of `what`"
  OutOfMemory(size_t bytes, const std::string& what);
};

// A GPU: rows of row-wise work at a time, enough to fill it, few enough that intermediate rows stay a small part
// of its memory; what experts() holds at most.
inline constexpr int64_t kGpuRowsAtOnce = 4096, kGpuExpertBytes = int64_t{4} << 30;

// KV positions are consumed in blocks that start at absolute multiples of this many positions.
inline constexpr int kAttentionBlock = 64;

// Row-major fp32 matrix views; `stride` in elements between rows.
struct Rows {
  float* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;
  float* row(int64_t i) const { return data + i * stride; }
};
struct ConstRows {
  const float* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;
  ConstRows() = default;
  ConstRows(const float* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  ConstRows(const Rows& r) : data(r.data), rows(r.rows), cols(r.cols), stride(r.stride) {}  // NOLINT
  const float* row(int64_t i) const { return data + i * stride; }
};

// A weight matrix [n, k] (y = x W^T: k inputs, n outputs) in the backend's own packing, in the
// precision the numerics mode asks for. Immutable; may outlive the checkpoint's map.
class Matrix {
 public:
  virtual ~Matrix() = default;
  int64_t n = 0, k = 0;
  size_t bytes = 0;  // held memory
};

// A prepared matrix in host memory that a device copies from at the full speed of its link (Backend::keep).
class KeptMatrix {
 public:
  virtual ~KeptMatrix() = default;
  size_t bytes = 0;  // held host memory
};

// How prepare() lays several tensors into one matrix.
enum class Stacking {
  rows,     // n = sum of the tensors' rows, in order (q_a over kv_a; q, k, v)
  gate_up,  // exactly two tensors of equal shape, laid out for linear_swiglu
};

// Which arithmetic a matrix takes part in.
enum class Role {
  linear,   // the numerics mode's (fp32, bf16; fp8 where the tensor has block scales, else fp32)
  fp32,     // always fp32: router weights
  head,     // the output head: like `linear`, but never fp8
};
// Of the model's head: DeepSeek's w8a8 scheme quantises linears that have block scales and nothing
// else.
constexpr Role head_role(Numerics numerics) {
  return numerics == Numerics::fp8 ? Role::fp32 : Role::head;
}

// Rotary embedding, per pair i of a head's rotated part: angle = position * inverse_frequency[i].
struct RopeTable {
  std::vector<double> inverse_frequency;  // [dim / 2]
  double multiplier = 1;                  // on cos and sin (YaRN: 1 for all released checkpoints)
  bool interleaved = false;               // pairs (2i, 2i+1) (DeepSeek) or halves (i, i + dim/2)
};

// Consecutive positions of one sequence that are computed in this call.
struct Segment {
  int64_t row = 0;       // first query row
  int64_t count = 0;     // query rows row .. row+count-1 have positions position .. position+count-1
  int64_t position = 0;  // absolute position of the first
  // KV slot of every absolute position 0 .. position+count-1 of this sequence's path (ancestors,
  // shared or not, then its own). Query at position p attends to slots[0..p].
  const int32_t* slots = nullptr;
};

enum class KvType { f32, bf16 };
// What keys and values are kept as: fp32 in the modes whose reference has no bf16 anywhere (fp32, fp8),
// but for tensor cores, which multiply bf16 (mode fp8 on a GPU); else bf16.
constexpr KvType kv_type_of(Numerics numerics, DeviceKind device) {
  if (numerics == Numerics::fp8) return device == DeviceKind::cpu ? KvType::f32 : KvType::bf16;
  return numerics == Numerics::fp32 ? KvType::f32 : KvType::bf16;
}

// Softmax attention over slots. Query head h uses KV head h * kv_heads / heads.
//   score(p, j) = scale * (q[0:key_dim] . key[slot_j][kv head] + q[key_dim: ] . key_shared[slot_j])
// Covers GQA (shared_dim 0), expanded MLA (key = k_nope per head, key_shared = rotated k_pe) and
// absorbed MLA (kv_heads 1, key = value = normed latent, key_shared = rotated k_pe).
struct Attention {
  ConstRows query;                 // [rows, heads * (key_dim + shared_dim)], per head contiguous
  int heads = 0, kv_heads = 0;
  int key_dim = 0, shared_dim = 0, value_dim = 0;
  KvType kv_type = KvType::f32;    // element type of the three pointers below
  const void* key = nullptr;       // slot s, kv head g: key + s * key_stride + g * key_head_stride (elements)
  const void* key_shared = nullptr;  // slot s: key_shared + s * shared_stride
  const void* value = nullptr;     // slot s, kv head g: value + s * value_stride + g * value_head_stride
  int64_t key_stride = 0, key_head_stride = 0;
  int64_t shared_stride = 0;
  int64_t value_stride = 0, value_head_stride = 0;
  float scale = 0;
  std::span<const Segment> segments;
  Rows out;                        // [rows, heads * value_dim]
};

enum class Scoring { sigmoid, softmax };
enum class GroupRule { none, top2_sum, maximum };

// From router logits to chosen experts. Selection score c = scoring(logit) + bias (bias selects
// only); groups not kept are masked with -inf; ties to the lowest index.
struct Router {
  Scoring scoring = Scoring::sigmoid;
  GroupRule group_rule = GroupRule::none;
  int groups = 1, kept_groups = 1, experts = 0, top_k = 0;
  bool normalise = false;          // weights / (sum + 1e-20)  (Qwen3-MoE: / sum)
  double normalise_epsilon = 1e-20;
  double scaling = 1;
  const float* bias = nullptr;     // [experts] or null
};
// Both [rows * top_k], experts ascending within a row. A device backend keeps what route() found in
// its own memory, for experts(), until its next route(); the vectors are filled by read_routing().
struct Routing {
  std::vector<int32_t> expert;
  std::vector<float> weight;
};

struct ExpertWeights {
  const Matrix* gate_up = nullptr;  // Stacking::gate_up
  const Matrix* down = nullptr;
};

// Targets of scored positions: row r of `hidden` has targets target[first[r] .. first[r+1]).
struct HeadTargets {
  std::span<const int32_t> first;   // [rows + 1]
  std::span<const int32_t> target;  // token ids
};

// What a step leaves for its end (Backend::note_layer).
struct StepNotes {
  int first_overflow = -1;       // which note's rows were the first that are not finite; negative: none
  std::vector<Routing> routing;  // of the notes that were `routed`
};

// How a row's next token is drawn (sampling.h has the definition).
struct Draw {
  double temperature = 1;  // > 0
  double top_p = 1;
  uint64_t number = 0;     // random, 53 bits
};
struct Choice {
  TokenId token = 0;
  float logprob = 0;  // under temperature 1, whatever the sampling
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view profile() const = 0;  // "cpu-avx2/bf16"
  virtual Numerics numerics() const = 0;
  virtual KvType kv_type() const { return kv_type_of(numerics(), DeviceKind::cpu); }
  virtual const Workers& workers() const = 0;

  // --- memory -------------------------------------------------------------------------------
  // As defined here: host memory. A device backend overrides these.
  // Uninitialised memory aligned to 64 bytes; null where there is none left.
  virtual std::byte* allocate(size_t bytes) const;
  // Gives back the memory that ops keep for later calls.
  virtual void trim() const {}
  // `bytes` as they were asked for.
  virtual void release(std::byte* memory, size_t bytes) const;
  // Host memory to the backend's; `from` may be reused on return.
  virtual void upload(std::byte* to, const void* from, size_t bytes) const;
  // The backend's memory to host memory, after all ops before it.
  virtual void download(void* to, const std::byte* from, size_t bytes) const;
  // For i of [0, count): `bytes` bytes from row from_rows[i] to row to_rows[i]; an empty list means
  // row i, a negative row that i is left out. Strides in bytes. Rows that are written are disjoint.
  virtual void copy_rows(const std::byte* from, int64_t from_stride, std::span<const int32_t> from_rows,
                         std::byte* to, int64_t to_stride, std::span<const int32_t> to_rows,
                         int64_t count, int64_t bytes) const = 0;
  // Waits for all ops before it.
  virtual void finish() const {}
  // Rows that the model should hand over together where `modest` suit a processor's caches: a
  // device wants more. Never changes bits.
  virtual int64_t rows_at_once(int64_t modest) const { return modest; }

  // --- ranks that compute together (engine/distributed) ---------------------------------------
  // Whether this rank keeps the weights of a routed expert; the others' are not prepared.
  virtual bool keeps_expert(int64_t /*expert*/, int64_t /*experts*/) const { return true; }

  // --- steps --------------------------------------------------------------------------------
  // A step is a short pass and what follows it up to its results, as decoding repeats it over and over. A
  // device may put off the ops in between and do them together (ops/cuda: as a graph); what returns results
  // to the host, or allocates, does first what was put off. Bits are the same, and so is the memory that
  // ops see. Between begin_step and end_step or drop_step, a layer's routing is there for experts() alone.
  //
  // False, as defined here: nothing is put off and there is no step to end. `layers`: how often route() and
  // note_layer() will be called at most.
  virtual bool begin_step(int /*layers*/) const { return false; }
  // Of a step, instead of all_finite() and read_routing(): whether x is finite and, where `routed`, what the
  // last route() chose are found out at its end, without waiting for any of it here.
  virtual void note_layer(ConstRows /*x*/, bool /*routed*/) const {}
  // Does what was put off, and waits where something was noted.
  virtual void end_step(StepNotes& /*out*/) const {}
  // Instead of end_step, after an error: what was put off may remain undone. Does not throw.
  virtual void drop_step() const {}

  // --- weights ------------------------------------------------------------------------------
  // Tensors of equal k. Block scales are honoured per tensor (rows of a stack keep their own).
  virtual std::unique_ptr<Matrix> prepare(std::span<const TensorView> tensors, Stacking stacking,
                                          Role role) const = 0;
  // Rows [first_row, first_row + n) of a tensor; with transpose, the matrix is their transpose
  // (absorbed MLA: W_UK of a head, [nope, latent] used as latent <- nope). Transposed or cut
  // FP8 tensors are dequantised first: to bf16 in the bf16 and fp8 modes, to fp32 in fp32.
  virtual std::unique_ptr<Matrix> prepare_slice(const TensorView& tensor, int64_t first_row, int64_t n,
                                                bool transpose, Role role) const = 0;

  // Of weights that exceed a device's memory: copies in host memory, pinned, so that they need not be packed
  // again. Null: the backend computes in host memory (as defined here), or no more of it can be pinned.
  virtual std::unique_ptr<KeptMatrix> keep(const Matrix& /*matrix*/) const { return nullptr; }
  // The matrix that was kept, in the backend's memory, with the same bits. It need not have arrived on return:
  // ops of this backend come after it, others' must wait for finish().
  virtual std::unique_ptr<Matrix> load(const KeptMatrix& kept) const;

  // --- row-wise -----------------------------------------------------------------------------
  // out[i] = table[ids[i]] widened to fp32.
  virtual void embed(const TensorView& table, std::span<const TokenId> ids, Rows out) const = 0;
  // x / sqrt(mean(x^2) + eps) * weight over each row's cols; may be in place.
  virtual void rms_norm(ConstRows x, const float* weight, double eps, Rows out) const = 0;
  virtual void add(Rows accumulator, ConstRows x) const = 0;
  // Whether no element is NaN or infinite. Waits for the ops before it.
  virtual bool all_finite(ConstRows x) const = 0;
  // Rotates `dim` columns from `offset` of each of `heads` heads (head_stride apart) of each row.
  virtual void rope(Rows x, int heads, int64_t head_stride, int64_t offset, int dim,
                    const int32_t* positions, const RopeTable& table) const = 0;
  // RMS norm of each head's `dim` columns (Qwen3's q and k norms), in place.
  virtual void head_norm(Rows x, int heads, int64_t head_stride, int dim, const float* weight,
                         double eps) const = 0;
  // Rounds fp32 rows to nearest-even bf16 (for KV memory).
  virtual void to_bf16(ConstRows x, uint16_t* out, int64_t out_stride) const = 0;
  // And back: exact.
  virtual void from_bf16(const uint16_t* x, int64_t stride, Rows out) const = 0;

  // --- matrix products ----------------------------------------------------------------------
  // out = x W^T + bias (bias may be null; added after the product).
  virtual void linear(const Matrix& weight, ConstRows x, const float* bias, Rows out) const = 0;
  // out = silu(x G^T) * (x U^T), weight prepared with Stacking::gate_up; out has n / 2 columns.
  virtual void linear_swiglu(const Matrix& gate_up, ConstRows x, Rows out) const = 0;
  // out = down(silu(gate x) * (up x)), the gated MLP of every row. `gated` [x.rows, gate_up.n / 2] is
  // scratch for backends that do not join the two products (as defined here).
  virtual void mlp(const ExpertWeights& weights, ConstRows x, Rows gated, Rows out) const {
    linear_swiglu(*weights.gate_up, x, gated);
    linear(*weights.down, gated, nullptr, out);
  }
  // Per head h: out[:, h*out_dim ...] = x[:, h*x_head_stride + ...k] W_h^T (absorbed MLA).
  virtual void linear_heads(std::span<const std::unique_ptr<Matrix>> per_head, ConstRows x,
                            int64_t x_head_stride, Rows out, int64_t out_head_stride) const = 0;

  // --- attention, experts, head -------------------------------------------------------------
  virtual void attention(const Attention& args) const = 0;
  virtual void route(const Router& router, ConstRows logits, Routing& out) const = 0;
  // Makes the result of the last route() readable by the host; waits for that op only.
  virtual void read_routing(Routing&) const {}
  // out[i] = sum over chosen experts e, ascending, of weight * E_e(x[i]); out is overwritten.
  // Entries of experts that no row chose may be null.
  virtual void experts(std::span<const ExpertWeights> experts, int top_k, const Routing& routing,
                       ConstRows x, Rows out) const = 0;
  // The last step of experts() alone, for outputs computed elsewhere: out[i] = sum over i's choices j,
  // ascending, of weight * y[place[i * top_k + j]]; same bits. The routing's vectors are filled.
  virtual void combine(const Routing& routing, int top_k, ConstRows y, std::span<const int32_t> place,
                       Rows out) const = 0;
  // log-softmax over the vocabulary at the targets, fused: never rows x vocabulary in memory.
  // logprob[i] belongs to target[i]; argmax[r] and argmax_logprob[r] to row r (may be null). All
  // three are host memory, complete on return.
  virtual void head_score(const Matrix& head, ConstRows hidden, const HeadTargets& targets,
                          float* logprob, int32_t* argmax, float* argmax_logprob) const = 0;
  // The next token of every row, drawn as draws[row] says: sample() of its logits. `out` is host
  // memory, complete on return. As defined here: on the host, from head_logits() (sampling.cpp).
  virtual void head_sample(const Matrix& head, ConstRows hidden, std::span<const Draw> draws,
                           Choice* out) const;
  // Full logits of few rows: out [rows, n], in host memory, complete on return.
  virtual void head_logits(const Matrix& head, ConstRows hidden, Rows out) const = 0;
};

// Whether this processor can run `kernels`; why not, if not.
bool kernels_available(Kernels kernels, std::string* why = nullptr);
// A CPU backend. `automatic` must be resolved to a concrete numerics mode before.
std::unique_ptr<Backend> make_cpu_backend(Kernels kernels, Numerics numerics, const Workers& workers,
                                          bool ue8m0_activations);

}  // namespace assay::engine::ops
