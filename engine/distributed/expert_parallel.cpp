#include "engine/distributed/expert_parallel.h"

#include <algorithm>

#include "base/error.h"
#include "engine/distributed/forwarding_backend.h"
#include "engine/model/buffer.h"

namespace assay::engine {

namespace {

using model::Buffer;

// An entry sent to another rank's expert.
struct Sent {
  int32_t row;     // of this rank's x
  int32_t expert;
};

class ExpertParallel final : public ForwardingBackend {
 public:
  ExpertParallel(const ops::Backend& inner, Collective& ranks)
      : ForwardingBackend(inner),
        ranks_(ranks),
        half_(inner.numerics() == Numerics::bf16 || inner.numerics() == Numerics::fp8_weights) {}

  bool keeps_expert(int64_t expert, int64_t experts) const override {
    return owner(expert, experts) == ranks_.rank();
  }
  bool has_ranks() const override { return true; }
  bool any_rank(bool mine) const override {
    const std::vector<int64_t> all = gather({mine ? int64_t{1} : int64_t{0}});
    return std::any_of(all.begin(), all.end(), [](int64_t busy) { return busy != 0; });
  }

  void experts(std::span<const ops::ExpertWeights> experts, int top_k, const ops::Routing& routing,
               ops::ConstRows x, ops::Rows out) const override;

 private:
  int owner(int64_t expert, int64_t experts) const {
    const int64_t share = (experts + ranks_.size() - 1) / ranks_.size();
    return static_cast<int>(expert / share);
  }

  // Host numbers of all ranks, in rank order.
  std::vector<int64_t> gather(const std::vector<int64_t>& mine) const {
    const size_t bytes = mine.size() * sizeof(int64_t);
    std::vector<int64_t> all(mine.size() * static_cast<size_t>(ranks_.size()));
    std::byte* memory = numbers_.ensure(static_cast<int64_t>(bytes) * (ranks_.size() + 1));
    inner_.upload(memory, mine.data(), bytes);
    ranks_.all_gather(memory, bytes, memory + bytes);
    inner_.download(all.data(), memory + bytes, all.size() * sizeof(int64_t));
    return all;
  }
  // Items of `bytes` bytes each: counts[r] of them to and from rank r.
  void exchange(const std::byte* send, std::span<const int64_t> to, std::byte* receive,
                std::span<const int64_t> from, int64_t bytes) const {
    std::vector<int64_t> send_bytes, receive_bytes;
    for (const int64_t n : to) send_bytes.push_back(n * bytes);
    for (const int64_t n : from) receive_bytes.push_back(n * bytes);
    ranks_.all_to_all(send, send_bytes, receive, receive_bytes);
  }

  Collective& ranks_;
  const bool half_;  // rows travel as bf16
  mutable Buffer<std::byte> numbers_{inner_}, ids_{inner_}, send_{inner_}, receive_{inner_};
  mutable Buffer<float> rows_{inner_}, results_{inner_}, returned_{inner_};
  mutable ops::Routing routing_;
};

void ExpertParallel::experts(std::span<const ops::ExpertWeights> experts, int top_k,
                             const ops::Routing& routing, ops::ConstRows x, ops::Rows out) const {
  const auto ranks = static_cast<size_t>(ranks_.size());
  const auto count = static_cast<int64_t>(experts.size());
  if (x.rows > 0 && routing.expert.empty()) {
    inner_.read_routing(routing_);
  } else {
    routing_ = routing;
  }

  // Entries by the rank that they go to; rows ascend within one, experts within a row.
  const auto entries = static_cast<int64_t>(routing_.expert.size());
  std::vector<int64_t> to(ranks, 0);
  for (const int32_t expert : routing_.expert) ++to[static_cast<size_t>(owner(expert, count))];
  std::vector<int64_t> next(ranks, 0);
  for (size_t r = 1; r < ranks; ++r) next[r] = next[r - 1] + to[r - 1];
  std::vector<Sent> sent(static_cast<size_t>(entries));
  std::vector<int32_t> sent_rows(static_cast<size_t>(entries)), place(static_cast<size_t>(entries));
  for (int64_t i = 0; i < entries; ++i) {
    const int32_t expert = routing_.expert[static_cast<size_t>(i)];
    const int64_t p = next[static_cast<size_t>(owner(expert, count))]++;
    sent[static_cast<size_t>(p)] = {static_cast<int32_t>(i / top_k), expert};
    sent_rows[static_cast<size_t>(p)] = static_cast<int32_t>(i / top_k);
    place[static_cast<size_t>(i)] = static_cast<int32_t>(p);
  }
  const std::vector<int64_t> matrix = gather(to);  // [from][to]
  std::vector<int64_t> from(ranks);
  int64_t received = 0;
  for (size_t r = 0; r < ranks; ++r) {
    from[r] = matrix[r * ranks + static_cast<size_t>(ranks_.rank())];
    received += from[r];
  }

  // Which expert each entry wants, and its row.
  constexpr auto kSent = static_cast<int64_t>(sizeof(Sent));
  std::byte* ids = ids_.ensure((entries + received) * kSent);
  inner_.upload(ids, sent.data(), sent.size() * sizeof(Sent));
  exchange(ids, to, ids + entries * kSent, from, kSent);
  std::vector<Sent> wanted(static_cast<size_t>(received));
  inner_.download(wanted.data(), ids + entries * kSent, wanted.size() * sizeof(Sent));

  const int64_t width = x.cols;
  const int64_t row_bytes = width * (half_ ? 2 : 4);
  std::byte* outgoing = send_.ensure(entries * row_bytes);
  std::byte* incoming = receive_.ensure(received * row_bytes);
  const ops::Rows gathered = model::matrix(rows_, std::max(entries, received), width);
  if (half_) {
    const ops::Rows own = model::slice(gathered, 0, entries);
    model::gather(inner_, x, sent_rows, own);
    inner_.to_bf16(own, reinterpret_cast<uint16_t*>(outgoing), width);
  } else if (entries > 0) {
    inner_.copy_rows(reinterpret_cast<const std::byte*>(x.data), x.stride * 4, sent_rows, outgoing,
                     row_bytes, {}, entries, row_bytes);
  }
  exchange(outgoing, to, incoming, from, row_bytes);

  // Everybody's entries for the experts kept here: one entry a row, its output as it is.
  const ops::Rows output = model::matrix(results_, received, out.cols);
  if (received > 0) {
    ops::Rows input = model::slice(gathered, 0, received);
    if (half_) {
      inner_.from_bf16(reinterpret_cast<const uint16_t*>(incoming), width, input);
    } else {
      input = {reinterpret_cast<float*>(incoming), received, width, width};
    }
    ops::Routing one;
    for (const Sent& s : wanted) {
      if (!keeps_expert(s.expert, count)) throw_internal("a row for an expert of another rank", "engine/distributed");
      one.expert.push_back(s.expert);
    }
    one.weight.assign(static_cast<size_t>(received), 1.0f);
    inner_.experts(experts, 1, one, input, output);
  }
  const ops::Rows returned = model::matrix(returned_, entries, out.cols);
  exchange(reinterpret_cast<const std::byte*>(output.data), from,
           reinterpret_cast<std::byte*>(returned.data), to, out.cols * 4);
  if (x.rows > 0) inner_.combine(routing_, top_k, returned, place, out);
}

}  // namespace

std::unique_ptr<ops::Backend> make_expert_parallel(const ops::Backend& inner, Collective& ranks) {
  return std::make_unique<ExpertParallel>(inner, ranks);
}

}  // namespace assay::engine
