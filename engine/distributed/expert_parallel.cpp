#include "engine/distributed/expert_parallel.h"

#include <algorithm>

#include "base/error.h"
#include "engine/distributed/forwarding_backend.h"
#include "engine/model/buffer.h"

namespace assay::engine {

namespace {

using model::Buffer;

// What goes to or comes from each rank: `count` items, the first of them number `begin` of all.
struct Part {
  int64_t begin = 0, count = 0;
};

class ExpertParallel final : public ForwardingBackend {
 public:
  ExpertParallel(const ops::Backend& inner, Collective& ranks, int64_t exchanged)
      : ForwardingBackend(inner),
        ranks_(ranks),
        exchanged_(exchanged),
        half_(inner.numerics() == Numerics::bf16 || inner.numerics() == Numerics::fp8_weights) {}

  bool keeps_expert(int64_t expert, int64_t experts) const override {
    return owner(expert, experts) == ranks_.rank();
  }

  void experts(std::span<const ops::ExpertWeights> experts, int top_k, const ops::Routing& routing,
               ops::ConstRows x, ops::Rows out) const override;

 private:
  int owner(int64_t expert, int64_t experts) const {
    return static_cast<int>(((expert + 1) * ranks_.size() - 1) / experts);
  }
  // Items of `bytes` bytes each to and from every rank.
  void exchange(const std::byte* send, std::span<const Part> to, std::byte* receive,
                std::span<const Part> from, int64_t bytes) const {
    std::vector<int64_t> send_bytes, receive_bytes;
    for (const Part& part : to) send_bytes.push_back(part.count * bytes);
    for (const Part& part : from) receive_bytes.push_back(part.count * bytes);
    ranks_.all_to_all(send, send_bytes, receive, receive_bytes);
  }
  void compute(std::span<const ops::ExpertWeights> experts, std::span<const int32_t> wanted,
               const std::byte* incoming, ops::Rows output) const;

  Collective& ranks_;
  const int64_t exchanged_;
  const bool half_;  // rows travel as bf16
  mutable HostNumbers numbers_{inner_, ranks_};
  mutable Buffer<std::byte> ids_{inner_}, send_{inner_}, receive_{inner_};
  mutable Buffer<float> rows_{inner_}, results_{inner_}, arrived_{inner_}, returned_{inner_};
  mutable ops::Routing routing_;
};

int64_t items(std::span<const Part> parts) {
  int64_t n = 0;
  for (const Part& part : parts) n += part.count;
  return n;
}

void ExpertParallel::experts(std::span<const ops::ExpertWeights> experts, int top_k,
                             const ops::Routing& routing, ops::ConstRows x, ops::Rows out) const {
  const auto ranks = static_cast<size_t>(ranks_.size()), self = static_cast<size_t>(ranks_.rank());
  const auto count = static_cast<int64_t>(experts.size());
  if (x.rows > 0 && routing.expert.empty()) {
    inner_.read_routing(routing_);
  } else {
    routing_ = routing;
  }

  // Entries by the rank that they go to; rows ascend within one, experts within a row.
  const std::vector<int32_t>& chosen = routing_.expert;
  std::vector<int64_t> to(ranks, 0), begin(ranks, 0);
  for (const int32_t expert : chosen) ++to[static_cast<size_t>(owner(expert, count))];
  for (size_t r = 1; r < ranks; ++r) begin[r] = begin[r - 1] + to[r - 1];
  std::vector<int64_t> next = begin;
  std::vector<int32_t> rows(chosen.size()), ids(chosen.size()), place(chosen.size());
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto p = static_cast<size_t>(next[static_cast<size_t>(owner(chosen[i], count))]++);
    rows[p] = static_cast<int32_t>(static_cast<int64_t>(i) / top_k);
    ids[p] = chosen[i];
    place[i] = static_cast<int32_t>(p);
  }

  // All ranks know all counts, hence the rounds and what each sends in one.
  const std::vector<int64_t> matrix = numbers_.gather(to);  // [from][to]
  int64_t most = 0;
  for (size_t r = 0; r < ranks; ++r) {
    int64_t received = 0;
    for (size_t s = 0; s < ranks; ++s) received += matrix[s * ranks + r];
    most = std::max(most, received);
  }
  const int64_t width = x.cols, row_bytes = width * (half_ ? 2 : 4);
  const int64_t at_once = std::max<int64_t>(1, exchanged_ / (row_bytes + (width + out.cols) * 4));
  const int64_t rounds = (most + at_once - 1) / at_once;
  const auto part = [&](int64_t all, int64_t round) {
    const int64_t first = all * round / rounds;
    return Part{first, all * (round + 1) / rounds - first};
  };
  const ops::Rows returned = model::matrix(returned_, static_cast<int64_t>(chosen.size()), out.cols);
  std::vector<Part> outbound(ranks), inbound(ranks);
  std::vector<int32_t> sent_rows, sent_ids;
  for (int64_t round = 0; round < rounds; ++round) {
    sent_rows.clear();
    sent_ids.clear();
    for (size_t r = 0; r < ranks; ++r) {
      outbound[r] = part(to[r], round);
      inbound[r] = part(matrix[r * ranks + self], round);
      outbound[r].begin += begin[r];
      const auto first = static_cast<ptrdiff_t>(outbound[r].begin), end = first + outbound[r].count;
      sent_rows.insert(sent_rows.end(), rows.begin() + first, rows.begin() + end);
      sent_ids.insert(sent_ids.end(), ids.begin() + first, ids.begin() + end);
    }
    const int64_t sent = items(outbound), received = items(inbound);

    // Which expert each entry wants, and its row.
    constexpr auto kId = static_cast<int64_t>(sizeof(int32_t));
    std::byte* numbers = ids_.ensure((sent + received) * kId);
    inner_.upload(numbers, sent_ids.data(), sent_ids.size() * sizeof(int32_t));
    exchange(numbers, outbound, numbers + sent * kId, inbound, kId);
    std::vector<int32_t> wanted(static_cast<size_t>(received));
    inner_.download(wanted.data(), numbers + sent * kId, wanted.size() * sizeof(int32_t));
    std::byte* outgoing = send_.ensure(sent * row_bytes);
    std::byte* incoming = receive_.ensure(received * row_bytes);
    if (half_) {
      const ops::Rows own = model::matrix(rows_, sent, width);
      model::gather(inner_, x, sent_rows, own);
      inner_.to_bf16(own, reinterpret_cast<uint16_t*>(outgoing), width);
    } else if (sent > 0) {
      inner_.copy_rows(reinterpret_cast<const std::byte*>(x.data), x.stride * 4, sent_rows, outgoing,
                       row_bytes, {}, sent, row_bytes);
    }
    exchange(outgoing, outbound, incoming, inbound, row_bytes);

    const ops::Rows output = model::matrix(results_, received, out.cols);
    if (received > 0) compute(experts, wanted, incoming, output);
    // One round's outputs lie where they belong.
    const ops::Rows arrived = rounds == 1 ? returned : model::matrix(arrived_, sent, out.cols);
    exchange(reinterpret_cast<const std::byte*>(output.data), inbound,
             reinterpret_cast<std::byte*>(arrived.data), outbound, out.cols * 4);
    int64_t at = 0;
    for (const Part& p : outbound) {
      if (rounds > 1 && p.count > 0) {
        model::scatter(inner_, model::slice(arrived, at, p.count), {}, model::slice(returned, p.begin, p.count));
      }
      at += p.count;
    }
  }
  if (x.rows > 0) inner_.combine(routing_, top_k, returned, place, out);
}

// Everybody's entries for the experts kept here: one entry a row, its output as it is.
void ExpertParallel::compute(std::span<const ops::ExpertWeights> experts, std::span<const int32_t> wanted,
                             const std::byte* incoming, ops::Rows output) const {
  const int64_t width = output.cols;
  ops::Rows input{nullptr, output.rows, width, width};
  if (half_) {
    input = model::matrix(rows_, output.rows, width);
    inner_.from_bf16(reinterpret_cast<const uint16_t*>(incoming), width, input);
  } else {
    input.data = reinterpret_cast<float*>(const_cast<std::byte*>(incoming));
  }
  ops::Routing one;
  const auto count = static_cast<int64_t>(experts.size());
  for (const int32_t expert : wanted) {
    if (expert < 0 || expert >= count || !keeps_expert(expert, count)) {
      throw_internal("a row for an expert of another rank", "engine/distributed");
    }
    one.expert.push_back(expert);
  }
  one.weight.assign(wanted.size(), 1.0f);
  inner_.experts(experts, 1, one, input, output);
}

}  // namespace

std::unique_ptr<ops::Backend> make_expert_parallel(const ops::Backend& inner, Collective& ranks,
                                                   int64_t exchanged) {
  return std::make_unique<ExpertParallel>(inner, ranks, exchanged);
}

}  // namespace assay::engine
