// Products, attention and head of the CUDA backend (backend_impl.h, which includes this).
#pragma once

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

// --- products ---------------------------------------------------------------------------------------
inline DeviceBackend::Packed DeviceBackend::pack(const HostPart& shape, Operand kind, ConstRows x,
                                                 const int32_t* rows, int64_t count, int64_t heads,
                                                 int64_t head_stride) const {
  Packed packed{nullptr, nullptr, count, count * shape.padded_k, kind, shape.padded_k};
  OperandArgs args{};
  args.x = x.data;
  args.stride = x.stride;
  args.head_stride = head_stride;
  args.rows = rows;
  args.k = static_cast<int>(shape.k);
  args.padded_k = static_cast<int>(shape.padded_k);
  args.ue8m0 = ue8m0_;
  const int64_t elements = heads * packed.batch_stride;
  const bool quantised = kind == Operand::e4m3;
  if (quantised && queue_->tuned()) kind = Operand::e4m3_bytes;
  args.out = kind == Operand::f32 ? static_cast<void*>(operand_.ensure<float>(*queue_, elements))
             : kind == Operand::e4m3_bytes
                 ? operand_.ensure<uint8_t>(*queue_, elements)
                 : static_cast<void*>(operand_.ensure<uint16_t>(*queue_, elements));
  if (quantised) {
    args.scale = operand_scale_.ensure<float>(
        *queue_, heads * shape.blocks() * layout::activation_scale_stride(count));
  }
  packed.data = args.out;
  packed.scale = args.scale;
  const auto kernel = kind == Operand::f32    ? operand_kernel<Operand::f32>
                      : kind == Operand::bf16 ? operand_kernel<Operand::bf16>
                      : kind == Operand::e4m3 ? operand_kernel<Operand::e4m3>
                                              : operand_kernel<Operand::e4m3_bytes>;
  queue_->launch(kernel, dim3(narrow(count), narrow(heads)), kRowThreads, 0, args);
  return packed;
}

template <class Tile, bool kE4m3>
void DeviceBackend::multiply_tiles(const Launch& launch, const ProductArgs& args) const {
  const int64_t down = launch.tiles != nullptr ? launch.most_tiles
                                               : layout::divide_up(launch.a.rows, Tile::kTileRows);
  const dim3 grid(narrow(down), narrow(layout::divide_up(args.weight_rows, Tile::kTileCols)),
                  narrow(launch.batch));
  queue_->launch(launch.part->shape.gate_up ? product_kernel<Tile, kE4m3, true>
                                            : product_kernel<Tile, kE4m3, false>,
                 grid, Tile::kThreads, Tile::kSharedBytes, args);
}

inline void DeviceBackend::multiply(const Launch& launch) const {
  const HostPart& shape = launch.part->shape;
  ProductArgs args{};
  args.a = launch.a.data;
  args.a_scale = launch.a.scale;
  args.rows = launch.a.rows;
  args.a_batch = launch.a.batch_stride;
  args.out_batch = launch.out_batch;
  args.padded_k = static_cast<int>(shape.padded_k);
  args.weight = launch.part->weight();
  args.weights = launch.weights;
  args.tiles = launch.tiles;
  args.tile_count = launch.tile_count;
  args.outputs = static_cast<int>(shape.outputs);
  args.weight_rows = static_cast<int>(shape.rows);
  args.bias = launch.bias;
  args.out = launch.out;
  args.out_stride = launch.out_stride;
  if (launch.columns > 0) {
    const int64_t first = launch.first_column;
    args.weight.data = static_cast<const std::byte*>(args.weight.data) +
                       first * shape.padded_k * shape.element_bytes();
    if (args.weight.scale != nullptr) args.weight.scale += first / layout::kGranule * shape.blocks();
    args.outputs = static_cast<int>(launch.columns);
    args.weight_rows = static_cast<int>(layout::round_up(launch.columns, layout::kGranule));
  }
  if (tuned(shape)) return multiply_tuned(launch, args);
  const int64_t rows = launch.tile_rows > 0 ? launch.tile_rows : tile_rows(shape, launch.a.rows);
  if (shape.storage == DeviceStorage::f32) {
    const int64_t down =
        launch.tiles != nullptr ? launch.most_tiles : layout::divide_up(launch.a.rows, kFp32Tile);
    queue_->launch(shape.gate_up ? fp32_product_kernel<true> : fp32_product_kernel<false>,
                   dim3(narrow(down), narrow(layout::divide_up(args.weight_rows, kFp32Tile)),
                        narrow(launch.batch)),
                   kFp32Threads, 0, args);
  } else if (shape.storage == DeviceStorage::bf16) {
    rows == SmallTile::kTileRows ? multiply_tiles<SmallTile, false>(launch, args)
                                 : multiply_tiles<LargeTile, false>(launch, args);
  } else {
    rows == SmallTile::kTileRows ? multiply_tiles<SmallTile, true>(launch, args)
                                 : multiply_tiles<LargeTile, true>(launch, args);
  }
}

inline void DeviceBackend::multiply_tuned(const Launch& launch, const ProductArgs& args) const {
  const HostPart& shape = launch.part->shape;
  TunedArgs tuned{};
  tuned.product = args;
  std::vector<TensorMap> maps;
  maps.push_back(
      queue_->make_map(args.a, launch.batch * args.rows, shape.padded_k, shape.quantised));
  if (args.weights == nullptr) {
    maps.push_back(
        queue_->make_map(args.weight.data, args.weight_rows, shape.padded_k, shape.storage == DeviceStorage::e4m3));
  } else {
    maps.insert(maps.end(), launch.maps.begin(), launch.maps.end());
  }
  tuned.maps = queue_->stage(maps.data(), maps.size());
  tuned.row_tiles = static_cast<int>(layout::divide_up(args.rows, hopper::kTileRows));
  tuned.column_tiles = static_cast<int>(layout::divide_up(args.weight_rows, hopper::kTileColumns));
  tuned.batch = static_cast<int>(launch.batch);
  const int64_t rows = launch.tiles != nullptr ? launch.most_tiles : tuned.row_tiles;
  const int64_t tiles = rows * tuned.column_tiles * launch.batch;
  queue_->launch_tuned(tuned, tuned_operands(shape), shape.gate_up,
                       narrow(std::min<int64_t>(tiles, queue_->multiprocessors())));
}

inline void DeviceBackend::linear(const Matrix& weight, ConstRows x, const float* bias, Rows out) const {
  const DeviceMatrix& w = on_device(weight);
  require(x.cols == w.k && out.cols == w.n && out.rows == x.rows, "linear: shapes");
  if (x.rows == 0) return;
  for (const DevicePart& part : w.parts) {
    Launch launch{};
    launch.part = &part;
    launch.a = pack(part.shape, part.operand(), x, nullptr, x.rows);
    launch.batch = 1;
    launch.bias = bias == nullptr ? nullptr : bias + part.shape.first_output;
    launch.out = out.data + part.shape.first_output;
    launch.out_stride = out.stride;
    multiply(launch);
  }
}

inline void DeviceBackend::linear_swiglu(const Matrix& gate_up, ConstRows x, Rows out) const {
  const DeviceMatrix& w = on_device(gate_up);
  require(w.parts[0].shape.gate_up && x.cols == w.k && out.cols == w.n / 2, "linear_swiglu: shapes");
  if (x.rows == 0) return;
  Launch launch{};
  launch.part = &w.parts[0];
  launch.a = pack(w.parts[0].shape, w.parts[0].operand(), x, nullptr, x.rows);
  launch.batch = 1;
  launch.out = out.data;
  launch.out_stride = out.stride;
  multiply(launch);
}

inline void DeviceBackend::linear_heads(std::span<const std::unique_ptr<Matrix>> per_head, ConstRows x,
                                        int64_t x_head_stride, Rows out, int64_t out_head_stride) const {
  if (x.rows == 0 || per_head.empty()) return;
  std::vector<Weight> weights;
  std::vector<TensorMap> maps;
  for (const auto& matrix : per_head) {
    const DeviceMatrix& w = on_device(*matrix);
    require(w.parts.size() == 1 && w.k == per_head[0]->k && w.n == per_head[0]->n,
            "linear_heads: matrices of different shape");
    weights.push_back(w.parts[0].weight());
    maps.push_back(w.parts[0].map);
  }
  const DevicePart& part = on_device(*per_head[0]).parts[0];
  const auto heads = static_cast<int64_t>(per_head.size());
  Launch launch{};
  launch.part = &part;
  launch.a = pack(part.shape, part.operand(), x, nullptr, x.rows, heads, x_head_stride);
  launch.batch = heads;
  launch.weights = queue_->stage(weights.data(), weights.size());
  launch.maps = std::move(maps);
  launch.out = out.data;
  launch.out_stride = out.stride;
  launch.out_batch = out_head_stride;
  multiply(launch);
}

// --- attention --------------------------------------------------------------------------------------
// Which kernel: a matter of shapes and the device alone.
inline DeviceBackend::AttentionPlan DeviceBackend::plan_attention(const Attention& args) const {
  AttentionPlan plan;
  if (args.kv_type != KvType::bf16 || args.value_dim > 512) return plan;
  plan.across = args.value_dim <= 128 ? 1 : 2;
  plan.value_is_key = args.key == args.value && args.key_stride == args.value_stride &&
                      args.key_head_stride == args.value_head_stride &&
                      args.value_dim <= args.key_dim;
  const auto at = [](const void* p) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(p)); };
  int64_t bytes = at(args.key) | at(args.value) | at(args.query.data);
  int64_t elements = args.key_stride | args.key_head_stride | args.value_stride |
                     args.value_head_stride | args.query.stride | args.key_dim | args.shared_dim |
                     args.value_dim;
  if (args.shared_dim > 0) {
    bytes |= at(args.key_shared);
    elements |= args.shared_stride;
  }
  plan.wide = bytes % 16 == 0 && elements % 8 == 0;
  const TensorAttentionShape shape = tensor_attention_shape(
      args.key_dim, args.shared_dim, args.value_dim, plan.value_is_key, plan.across);
  const int limit = queue_->shared_limit();
  plan.stages = shape.bytes(2) <= limit ? 2 : 1;
  plan.shared_bytes = shape.bytes(plan.stages);
  plan.tensor = plan.shared_bytes <= limit;
  return plan;
}

// Tiles of at most `most` pairs and their slots, on the device; groups where a block of the kernel takes several.
inline DeviceBackend::StagedTiles DeviceBackend::stage_tiles(const Attention& args, int32_t most) const {
  for (const StagedTiles& known : step_tiles_) {
    if (step_layers_ > 0 && known.heads == args.heads && known.kv_heads == args.kv_heads && known.most == most &&
        std::equal(known.segments.begin(), known.segments.end(), args.segments.begin(), args.segments.end(),
                   [](const Segment& a, const Segment& b) {
                     return a.row == b.row && a.count == b.count && a.position == b.position &&
                            a.slots == b.slots;
                   })) {
      return known;
    }
  }
  const PairTiles tiles = plan_tiles(
      args.segments, {args.heads, args.kv_heads, most, most == kTensorPairs, queue_->multiprocessors()});
  StagedTiles out{{args.segments.begin(), args.segments.end()}, args.heads, args.kv_heads, most, nullptr, nullptr,
                  nullptr, static_cast<int64_t>(tiles.groups.size())};
  if (tiles.groups.empty()) return out;
  out.groups = queue_->stage(tiles.groups.data(), tiles.groups.size());
  out.tiles = queue_->stage(tiles.tiles.data(), tiles.tiles.size());
  out.slots = queue_->stage(tiles.slots.data(), tiles.slots.size());
  if (queue_->in_step()) step_tiles_.push_back(out);
  return out;
}

inline void DeviceBackend::attention(const Attention& args) const {
  const AttentionPlan plan = plan_attention(args);
  const StagedTiles staged = stage_tiles(args, plan.tensor ? kTensorPairs : kPairs);
  if (staged.count == 0) return;
  AttentionArgs a{};
  a.query = args.query.data;
  a.query_stride = args.query.stride;
  a.key = args.key;
  a.shared = args.key_shared;
  a.value = args.value;
  a.key_stride = args.key_stride;
  a.key_head_stride = args.key_head_stride;
  a.shared_stride = args.shared_stride;
  a.value_stride = args.value_stride;
  a.value_head_stride = args.value_head_stride;
  a.key_dim = args.key_dim;
  a.shared_dim = args.shared_dim;
  a.value_dim = args.value_dim;
  a.scale = args.scale;
  a.tiles = staged.tiles;
  a.slots = staged.slots;
  a.out = args.out.data;
  a.out_stride = args.out.stride;
  if (plan.tensor) {
    queue_->launch(plan.across == 1 ? tensor_attention_kernel<1, 16> : tensor_attention_kernel<2, 32>,
                   blocks(staged.count),
                   static_cast<unsigned>(kTensorPairs / 16 * 32 * plan.across),
                   static_cast<size_t>(plan.shared_bytes),
                   TensorAttentionArgs{a, staged.groups, plan.stages, plan.wide, plan.value_is_key});
    return;
  }
  const int shared = attention_shared_bytes(args.key_dim, args.shared_dim, args.value_dim);
  queue_->launch(args.kv_type == KvType::bf16 ? attention_kernel<true> : attention_kernel<false>,
                 blocks(staged.count), kAttentionThreads,
                 static_cast<size_t>(shared), a);
}

// --- head -------------------------------------------------------------------------------------------
inline void DeviceBackend::head_score(const Matrix& head, ConstRows hidden, const HeadTargets& targets,
                                      float* logprob, int32_t* argmax, float* argmax_logprob) const {
  const DeviceMatrix& w = on_device(head);
  require(w.parts.size() == 1 && hidden.cols == w.k, "head_score: shapes");
  const int64_t rows = hidden.rows;
  if (rows == 0) return;
  const DevicePart& part = w.parts[0];
  const Packed operand = pack(part.shape, part.operand(), hidden, nullptr, rows);
  HeadArgs a{};
  float* logits = logits_.ensure<float>(*queue_, rows * kHeadColumns);
  a.logits = logits;
  a.stride = kHeadColumns;
  a.state = head_state_.ensure<HeadState>(*queue_, rows);
  a.first_target = stage(targets.first);
  a.target = stage(targets.target);
  a.logprob = logprob_.ensure<float>(*queue_, static_cast<int64_t>(targets.target.size()));
  for (int64_t first = 0; first < w.n; first += kHeadColumns) {
    Launch launch{};
    launch.part = &part;
    launch.a = operand;
    launch.batch = 1;
    launch.first_column = first;
    launch.columns = std::min<int64_t>(kHeadColumns, w.n - first);
    launch.out = logits;
    launch.out_stride = kHeadColumns;
    multiply(launch);
    a.first = static_cast<int>(first);
    a.columns = static_cast<int>(launch.columns);
    queue_->launch(head_kernel, blocks(rows), kRowThreads, 0, a);
  }
  HeadEndArgs end{a.state, a.first_target, a.logprob, argmax_.ensure<int32_t>(*queue_, rows),
                  argmax_logprob_.ensure<float>(*queue_, rows)};
  queue_->launch(head_end_kernel, blocks(rows), 128, 0, end);
  if (!targets.target.empty()) download(logprob, logprob_.data(), targets.target.size() * 4);
  if (argmax != nullptr) download(argmax, argmax_.data(), static_cast<size_t>(rows) * 4);
  if (argmax_logprob != nullptr) {
    download(argmax_logprob, argmax_logprob_.data(), static_cast<size_t>(rows) * 4);
  }
}

inline void DeviceBackend::head_sample(const Matrix& head, ConstRows hidden,
                                       std::span<const Draw> draws, Choice* out) const {
  constexpr int64_t kRows = 64, kRankedRows = 16;  // at a time: of the product, of the sort
  require(static_cast<int64_t>(draws.size()) == hidden.rows, "head_sample: shapes");
  const int64_t n = head.n;
  SampleArgs a{};
  a.columns = static_cast<int>(n);
  Choice* choices = choices_.ensure<Choice>(*queue_, hidden.rows);
  for (int64_t begin = 0; begin < hidden.rows; begin += kRows) {
    const int64_t count = std::min(kRows, hidden.rows - begin);
    float* logits = logits_.ensure<float>(*queue_, count * n);
    linear(head, {hidden.row(begin), count, hidden.cols, hidden.stride}, nullptr,
           {logits, count, n, n});
    for (int64_t first = 0; first < count; first += kRankedRows) {
      const int64_t rows = std::min(kRankedRows, count - first);
      const auto own = draws.subspan(static_cast<size_t>(begin + first), static_cast<size_t>(rows));
      a.logits = logits + first * n;
      a.draws = queue_->stage(own.data(), own.size());
      a.out = choices + begin + first;
      if (std::any_of(own.begin(), own.end(), [](const Draw& d) { return d.top_p < 1; })) {
        int32_t* columns = columns_.ensure<int32_t>(*queue_, rows * n);
        float* ranked = ranked_.ensure<float>(*queue_, rows * n);
        int32_t* ranked_ids = ranked_ids_.ensure<int32_t>(*queue_, rows * n);
        queue_->launch(column_kernel, dim3(narrow(rows), narrow(layout::divide_up(n, kRowThreads))),
                       kRowThreads, 0, ColumnArgs{columns, a.columns});
        queue_->sort_rows_descending(a.logits, ranked, columns, ranked_ids, rows, n);
        a.ranked = ranked;
        a.ranked_ids = ranked_ids;
      }
      queue_->launch(sample_kernel, blocks(rows), kRowThreads, 0, a);
    }
  }
  if (hidden.rows > 0) {
    download(out, choices_.data(), static_cast<size_t>(hidden.rows) * sizeof(Choice));
  }
}

inline void DeviceBackend::head_logits(const Matrix& head, ConstRows hidden, Rows out) const {
  if (hidden.rows == 0) return;
  float* logits = logits_.ensure<float>(*queue_, hidden.rows * out.cols);
  linear(head, hidden, nullptr, {logits, hidden.rows, out.cols, out.cols});
  for (int64_t i = 0; i < hidden.rows; ++i) {
    download(out.row(i), reinterpret_cast<const std::byte*>(logits + i * out.cols),
             static_cast<size_t>(out.cols) * 4);
  }
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
