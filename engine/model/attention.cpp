// Attention of both kinds and forms (decoder.h).
#include <algorithm>
#include <vector>

#include "engine/model/decoder.h"

namespace assay::engine::model {

namespace {

// The parts of `segments` (in row order, from *next on) that lie in rows [begin, end), rows counted
// from begin.
void clip_segments(std::span<const ops::Segment> segments, int64_t begin, int64_t end, size_t* next,
                   std::vector<ops::Segment>& out) {
  out.clear();
  while (*next < segments.size() && segments[*next].row < end) {
    const ops::Segment& s = segments[*next];
    const int64_t first = std::max(s.row, begin), last = std::min(s.row + s.count, end);
    out.push_back({first - begin, last - first, s.position + (first - s.row), s.slots});
    if (s.row + s.count > end) break;  // goes on in the next chunk
    ++*next;
  }
}

}  // namespace

// What a row of KV memory holds, before rounding: [latent | key part] or [keys | values].
void Decoder::make_kv(const PreparedLayer& layer, ops::ConstRows normed, const int32_t* positions,
                      ops::Rows out) const {
  backend_.linear(*layer.kv, normed, layer.kv_bias.data(), out);
  if (config_.mla) {
    const int64_t latent = config_.mla->kv_lora_rank;
    backend_.rms_norm(columns(out, 0, latent), layer.kv_a_norm.data(), kLatentNormEps,
                      columns(out, 0, latent));
    backend_.rope(out, 1, 0, latent, static_cast<int>(config_.mla->rope_dim), positions, rope_);
    return;
  }
  const auto heads = static_cast<int>(config_.kv_heads), dim = static_cast<int>(config_.head_dim);
  if (!layer.k_norm.empty()) {
    backend_.head_norm(out, heads, dim, dim, layer.k_norm.data(), config_.norm_eps);
  }
  backend_.rope(out, heads, dim, 0, static_cast<int>(config_.rope.dim), positions, rope_);
}

// query_ [rows, heads * head_dim], rotated.
void Decoder::queries(const PreparedLayer& layer, ops::ConstRows normed, const int32_t* positions,
                      ops::Rows out) {
  const auto heads = static_cast<int>(config_.heads), dim = static_cast<int>(config_.head_dim);
  if (layer.q_a) {
    const ops::Rows compressed = matrix(chunk_a_, normed.rows, layer.q_a->n);
    backend_.linear(*layer.q_a, normed, layer.q_a_bias.data(), compressed);
    backend_.rms_norm(compressed, layer.q_a_norm.data(), kLatentNormEps, compressed);
    backend_.linear(*layer.q, compressed, layer.q_bias.data(), out);
  } else {
    backend_.linear(*layer.q, normed, layer.q_bias.data(), out);
  }
  if (!layer.q_norm.empty()) {
    backend_.head_norm(out, heads, dim, dim, layer.q_norm.data(), config_.norm_eps);
  }
  const int64_t offset = config_.mla ? config_.mla->nope_dim : 0;
  backend_.rope(out, heads, dim, offset, static_cast<int>(config_.rope.dim), positions, rope_);
}

// expanded_ [rows, heads * (nope + v)]: keys and values per head from the latents at `kv`.
void Decoder::expand(const PreparedLayer& layer, const std::byte* kv, int64_t rows) {
  const int64_t latent = config_.mla->kv_lora_rank, width = layer.kv_b->n;
  std::byte* out = expanded_.ensure(rows * width * kv_type_bytes(kv_type_));
  if (kv_type_ == ops::KvType::f32) {
    const auto* source = reinterpret_cast<const float*>(kv);
    backend_.linear(*layer.kv_b, {source, rows, latent, kv_width_}, nullptr,
                    {reinterpret_cast<float*>(out), rows, width, width});
    return;
  }
  const auto* source = reinterpret_cast<const uint16_t*>(kv);
  const int64_t chunk = std::min(rows, attention_rows_);
  const ops::Rows latents = matrix(chunk_a_, chunk, latent);
  const ops::Rows product = matrix(chunk_b_, chunk, width);
  for (int64_t row = 0; row < rows; row += attention_rows_) {
    const int64_t n = std::min(attention_rows_, rows - row);
    backend_.from_bf16(source + row * kv_width_, kv_width_, slice(latents, 0, n));
    backend_.linear(*layer.kv_b, slice(latents, 0, n), nullptr, slice(product, 0, n));
    backend_.to_bf16(slice(product, 0, n), reinterpret_cast<uint16_t*>(out) + row * width, width);
  }
}

void Decoder::attention(const PreparedLayer& layer, const PassInput& pass, KvPool& pool,
                        int pool_layer, ops::Rows x) {
  const bool absorbed = pass.form == Form::absorbed;
  const auto ancestors = absorbed ? 0 : static_cast<int64_t>(pass.ancestors.size());
  const int64_t rows = x.rows, row_bytes = kv_width_ * kv_type_bytes(kv_type_);
  const ops::Rows normed = matrix(normed_, rows, x.cols);
  backend_.rms_norm(x, layer.input_norm.data(), config_.norm_eps, normed);

  // Keys and values of every row, in the KV type, behind those of the ancestors.
  std::byte* local = local_kv_.ensure((ancestors + rows) * row_bytes);
  if (ancestors > 0) {
    backend_.copy_rows(pool.row(pool_layer, 0), row_bytes, pass.ancestors, local, row_bytes, {},
                       ancestors, row_bytes);
  }
  std::byte* own = local + ancestors * row_bytes;
  for (int64_t row = 0; row < rows; row += attention_rows_) {
    const int64_t n = std::min(attention_rows_, rows - row);
    const int32_t* positions = pass.positions.data() + row;
    if (kv_type_ == ops::KvType::f32) {
      make_kv(layer, slice(normed, row, n), positions,
              {reinterpret_cast<float*>(own) + row * kv_width_, n, kv_width_, kv_width_});
    } else {
      const ops::Rows exact = matrix(chunk_a_, n, kv_width_);
      make_kv(layer, slice(normed, row, n), positions, exact);
      backend_.to_bf16(exact, reinterpret_cast<uint16_t*>(own) + row * kv_width_, kv_width_);
    }
  }
  if (config_.mla && !absorbed) expand(layer, local, ancestors + rows);
  backend_.copy_rows(own, row_bytes, {}, pool.row(pool_layer, 0), row_bytes, pass.store, rows,
                     row_bytes);

  ops::Attention args;
  args.heads = static_cast<int>(config_.heads);
  args.kv_type = kv_type_;
  args.scale = softmax_scale_;
  const std::byte* memory = absorbed ? pool.row(pool_layer, 0) : local;
  const auto element = [&](const std::byte* base, int64_t offset) -> const void* {
    return base + offset * kv_type_bytes(kv_type_);
  };
  if (config_.mla) {
    const MlaConfig& mla = *config_.mla;
    args.shared_dim = static_cast<int>(mla.rope_dim);
    args.key_shared = element(memory, mla.kv_lora_rank);
    args.shared_stride = kv_width_;
    if (absorbed) {
      args.kv_heads = 1;
      args.key_dim = args.value_dim = static_cast<int>(mla.kv_lora_rank);
      args.key = args.value = memory;
      args.key_stride = args.value_stride = kv_width_;
    } else {
      args.kv_heads = args.heads;
      args.key_dim = static_cast<int>(mla.nope_dim);
      args.value_dim = static_cast<int>(mla.v_dim);
      args.key = expanded_.data();
      args.value = element(expanded_.data(), mla.nope_dim);
      args.key_stride = args.value_stride = layer.kv_b->n;
      args.key_head_stride = args.value_head_stride = mla.nope_dim + mla.v_dim;
    }
  } else {
    args.kv_heads = static_cast<int>(config_.kv_heads);
    args.key_dim = args.value_dim = static_cast<int>(config_.head_dim);
    args.key = memory;
    args.value = element(memory, config_.kv_heads * config_.head_dim);
    args.key_stride = args.value_stride = kv_width_;
    args.key_head_stride = args.value_head_stride = config_.head_dim;
  }

  const bool latent_space = config_.mla && absorbed;
  std::vector<ops::Segment> segments;
  size_t next = 0;
  for (int64_t row = 0; row < rows; row += attention_rows_) {
    const int64_t n = std::min(attention_rows_, rows - row);
    ops::Rows query = matrix(query_, n, config_.heads * config_.head_dim);
    queries(layer, slice(normed, row, n), pass.positions.data() + row, query);
    ops::Rows mixed = matrix(chunk_a_, n, config_.heads * config_.v_head_dim());
    clip_segments(pass.segments, row, row + n, &next, segments);
    args.segments = segments;
    if (latent_space) {
      const MlaConfig& mla = *config_.mla;
      const int64_t latent = mla.kv_lora_rank;
      // Query per head [latent | rope]: q_nope W_UK beside the rotated part.
      const ops::Rows absorbed_query = matrix(chunk_b_, n, config_.heads * kv_width_);
      backend_.linear_heads(layer.absorb_key, query, config_.head_dim, absorbed_query, kv_width_);
      backend_.copy_rows(reinterpret_cast<const std::byte*>(query.data + mla.nope_dim),
                         config_.head_dim * 4, {},
                         reinterpret_cast<std::byte*>(absorbed_query.data + latent), kv_width_ * 4,
                         {}, n * config_.heads, mla.rope_dim * 4);
      args.query = absorbed_query;
      args.out = matrix(chunk_c_, n, config_.heads * latent);
      backend_.attention(args);
      backend_.linear_heads(layer.absorb_value, args.out, latent, mixed, mla.v_dim);
    } else {
      args.query = query;
      args.out = mixed;
      backend_.attention(args);
    }
    const ops::Rows projected = matrix(chunk_b_, n, config_.hidden);
    backend_.linear(*layer.o, mixed, layer.o_bias.data(), projected);
    backend_.add(slice(x, row, n), projected);
  }
}

}  // namespace assay::engine::model
