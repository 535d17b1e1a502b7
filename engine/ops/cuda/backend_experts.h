// Router and experts of the CUDA backend (backend_impl.h, which includes this).
#pragma once

namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE {

inline void DeviceBackend::route(const Router& router, ConstRows logits, Routing& out) const {
  require(logits.cols == router.experts && router.top_k <= router.experts &&
              router.experts % router.groups == 0,
          "route: shapes");
  out.expert.clear();
  out.weight.clear();
  routed_ = logits.rows * router.top_k;
  RouteArgs a{};
  a.logits = logits.data;
  a.stride = logits.stride;
  a.bias = router.bias;
  a.experts = router.experts;
  a.groups = router.groups;
  a.kept_groups = router.kept_groups;
  a.top_k = router.top_k;
  a.softmax = router.scoring == Scoring::softmax;
  a.grouped = router.group_rule != GroupRule::none;
  a.top2_sum = router.group_rule == GroupRule::top2_sum;
  a.normalise = router.normalise;
  a.epsilon = router.normalise_epsilon;
  a.scaling = router.scaling;
  // A step keeps what all of its layers find.
  const int64_t calls = step_layers_ > 0 ? step_layers_ : 1, call = step_layers_ > 0 ? step_routed_++ : 0;
  require(call < calls, "route: more often than the step has layers");
  a.expert = expert_.ensure<int32_t>(*queue_, calls * routed_) + call * routed_;
  a.weight = expert_weight_.ensure<float>(*queue_, calls * routed_) + call * routed_;
  routed_expert_ = a.expert;
  routed_weight_ = a.weight;
  if (routed_ == 0) return;
  const size_t shared = static_cast<size_t>(a.experts) * 12 + static_cast<size_t>(a.groups + a.top_k) * 4;
  queue_->launch(route_kernel, blocks(logits.rows), 32, shared, a);
  // The host reads it while the experts compute; of a step, at its end.
  if (step_layers_ == 0) start_reading_routing(routed_);
}

// The first `entries` of what route() has found.
inline void DeviceBackend::start_reading_routing(int64_t entries) const {
  queue_->start_download(0, expert_.data(), static_cast<size_t>(entries) * 4);
  queue_->start_download(1, expert_weight_.data(), static_cast<size_t>(entries) * 4);
}

inline void DeviceBackend::read_routing(Routing& routing) const {
  require(step_layers_ == 0, "read_routing: within a step");
  routing.expert.resize(static_cast<size_t>(routed_));
  routing.weight.resize(static_cast<size_t>(routed_));
  if (routed_ == 0) return;
  queue_->finish_download(0, routing.expert.data(), static_cast<size_t>(routed_) * 4);
  queue_->finish_download(1, routing.weight.data(), static_cast<size_t>(routed_) * 4);
}

inline void DeviceBackend::experts(std::span<const ExpertWeights> experts, int top_k,
                                   const Routing& routing, ConstRows x, Rows out) const {
  const int64_t n = x.rows * top_k;
  if (n == 0) return;
  // A routing with host vectors was not made by the last route(): the vectors are what counts.
  const bool from_host = !routing.expert.empty();
  require((from_host ? static_cast<int64_t>(routing.expert.size()) : routed_) == n, "experts: routing");

  ExpertGroup group;
  group.up_weights.resize(experts.size());
  group.down_weights.resize(experts.size());
  group.up_maps.resize(experts.size());
  group.down_maps.resize(experts.size());
  for (size_t e = 0; e < experts.size(); ++e) {
    if (experts[e].gate_up == nullptr) continue;
    const DeviceMatrix &g = on_device(*experts[e].gate_up), &d = on_device(*experts[e].down);
    if (group.up == nullptr) {
      group.up = &g.parts[0];
      group.down = &d.parts[0];
    }
    require(g.parts[0].shape.gate_up && d.parts.size() == 1 && g.k == x.cols && d.n == out.cols &&
                d.k == group.up->shape.outputs && g.parts[0].shape.storage == group.up->shape.storage &&
                d.parts[0].shape.storage == group.down->shape.storage,
            "experts: shapes");
    group.up_weights[e] = g.parts[0].weight();
    group.down_weights[e] = d.parts[0].weight();
    group.up_maps[e] = g.parts[0].map;
    group.down_maps[e] = d.parts[0].map;
  }
  require(group.up != nullptr, "experts: none");

  // As many rows at a time as bound what all their entries hold (counted in engine/model's workspace_bytes).
  const int64_t width = group.up->shape.outputs;
  const int64_t entry = (width + out.cols) * 4 + std::max(x.cols, width) * 4 + 5 * 4;
  const int64_t step = std::max<int64_t>(1, queue_->expert_bytes() / (entry * top_k));
  for (int64_t first = 0; first < x.rows; first += step) {
    const int64_t rows = std::min(step, x.rows - first), at = first * top_k;
    const size_t entries = static_cast<size_t>(rows * top_k);
    const int32_t* chosen = routed_expert_ + at;
    const float* weight = routed_weight_ + at;
    if (from_host) {
      chosen = queue_->stage(routing.expert.data() + at, entries);
      weight = queue_->stage(routing.weight.data() + at, entries);
    }
    expert_rows(group, top_k, chosen, weight, {x.row(first), rows, x.cols, x.stride},
                {out.row(first), rows, out.cols, out.stride});
  }
}

// experts() of some of the rows. `chosen` and `weight`: [rows * top_k], the device's.
inline void DeviceBackend::expert_rows(const ExpertGroup& group, int top_k, const int32_t* chosen,
                                       const float* weight, ConstRows x, Rows out) const {
  const int64_t n = x.rows * top_k;
  const auto count = static_cast<int64_t>(group.up_weights.size());
  const DevicePart *up = group.up, *down = group.down;
  // Entries by expert. A stable sort: rows ascend within an expert.
  int32_t* sorted = sorted_.ensure<int32_t>(*queue_, n);
  int32_t* entry_row = entry_row_.ensure<int32_t>(*queue_, n);
  int32_t* place = place_.ensure<int32_t>(*queue_, n);
  const dim3 over_entries = blocks(layout::divide_up(n, kRowThreads));
  if (n <= queue_->ranked_entries()) {
    queue_->launch(rank_kernel, over_entries, kRowThreads, kRowThreads * sizeof(int32_t),
                   RankArgs{chosen, static_cast<int32_t>(n), top_k, sorted, entry_row, place});
  } else {
    int32_t* numbers = entries_.ensure<int32_t>(*queue_, n);
    int32_t* entry = entry_.ensure<int32_t>(*queue_, n);
    queue_->launch(count_up_kernel, over_entries, kRowThreads, 0, CountUpArgs{numbers, n});
    queue_->sort_pairs(chosen, sorted, numbers, entry, n,
                       static_cast<int>(std::bit_width(static_cast<uint64_t>(count))));
    queue_->launch(entry_kernel, over_entries, kRowThreads, 0,
                   EntryArgs{entry, static_cast<int32_t>(n), top_k, entry_row, place});
  }

  // The mean number of rows an expert gets decides on the tile; it does not change bits.
  const int64_t rows = tile_rows(up->shape, layout::divide_up(n, count));
  const auto plan = [&](int64_t tile) {
    TilePlanArgs a{};
    a.sorted = sorted;
    a.entries = static_cast<int32_t>(n);
    a.experts = static_cast<int>(count);
    a.tile_rows = static_cast<int>(tile);
    a.tiles = tiles_.ensure<RowTile>(*queue_, layout::most_tiles(n, count, tile));
    a.tile_count = tile_count_.ensure<int32_t>(*queue_, 1);
    queue_->launch(tile_plan_kernel, dim3(1), kPlanThreads, static_cast<size_t>(count + 1) * 4, a);
    return a;
  };
  const auto grouped = [&](const DevicePart& part, const std::vector<Weight>& weights,
                           const std::vector<TensorMap>& maps, Packed a, int64_t tile,
                           const TilePlanArgs& tiles, float* to, int64_t stride) {
    Launch launch{};
    launch.part = &part;
    launch.a = a;
    launch.batch = 1;
    launch.weights = queue_->stage(weights.data(), weights.size());
    if (tuned(part.shape)) launch.maps = maps;
    launch.tiles = tiles.tiles;
    launch.tile_count = tiles.tile_count;
    launch.most_tiles = layout::most_tiles(n, count, tile);
    launch.tile_rows = tile;
    launch.out = to;
    launch.out_stride = stride;
    multiply(launch);
  };
  TilePlanArgs tiles = plan(rows);
  const int64_t width = up->shape.outputs;
  float* hidden = expert_hidden_.ensure<float>(*queue_, n * width);
  float* y = expert_out_.ensure<float>(*queue_, n * out.cols);
  grouped(*up, group.up_weights, group.up_maps, pack(up->shape, up->operand(), x, entry_row, n), rows, tiles,
          hidden, width);
  const int64_t down_rows = tile_rows(down->shape, layout::divide_up(n, count));
  if (down_rows != rows) tiles = plan(down_rows);
  grouped(*down, group.down_weights, group.down_maps,
          pack(down->shape, down->operand(), ConstRows(hidden, n, width, width), nullptr, n),
          down_rows, tiles, y, out.cols);
  queue_->launch(combine_kernel, blocks(x.rows), kRowThreads, 0,
                 CombineArgs{y, out.cols, place, weight, top_k, static_cast<int>(out.cols), out.data,
                             out.stride});
}

inline void DeviceBackend::combine(const Routing& routing, int top_k, ConstRows y,
                                   std::span<const int32_t> place, Rows out) const {
  if (out.rows == 0) return;
  queue_->launch(combine_kernel, blocks(out.rows), kRowThreads, 0,
                 CombineArgs{y.data, y.stride, stage(place),
                             queue_->stage(routing.weight.data(), routing.weight.size()), top_k,
                             static_cast<int>(out.cols), out.data, out.stride});
}

}  // namespace assay::engine::ops::ASSAY_CUDA_NAMESPACE
