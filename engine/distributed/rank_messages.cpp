#include "engine/distributed/rank_messages.h"

#include <new>

namespace assay::engine {

namespace {

template <class Variant, class T, size_t I = 0>
constexpr size_t index_of() {
  if constexpr (std::is_same_v<std::variant_alternative_t<I, Variant>, T>) {
    return I;
  } else {
    return index_of<Variant, T, I + 1>();
  }
}
template <class T>
constexpr size_t kIndex = index_of<decltype(RankReport::what), T>();

// The first process has all stages' names.
std::string_view stage_name(const std::string& name) { return name == "generate" ? "generate" : "score"; }

void put(WireWriter& out, const Capabilities& c) {
  out.list(c.architecture).list(c.profile).put(c.context_length).put(c.vocabulary_size).put(c.numerics);
  out.put(c.has_mtp).put(c.moe_layers).put(c.routed_experts).put(c.ranks).put(c.parallel);
}
Capabilities get_capabilities(WireReader& in) {
  Capabilities c;
  c.architecture = in.text();
  c.profile = in.text();
  c.context_length = in.get<int64_t>();
  c.vocabulary_size = in.get<int64_t>();
  c.numerics = in.get<Numerics>();
  c.has_mtp = in.get<bool>();
  c.moe_layers = in.get<int>();
  c.routed_experts = in.get<int>();
  c.ranks = in.get<int>();
  c.parallel = in.get<Parallel>();
  return c;
}

void put(WireWriter& out, const RankReport::Batch& batch) {
  out.put(static_cast<uint64_t>(batch.scores.size()));
  for (const ScoreResult& r : batch.scores) {
    out.put(r.index).put(r.logprob).list(r.token_logprobs).list(r.token_greedy).put(r.greedy);
  }
  out.put(static_cast<uint64_t>(batch.texts.size()));
  for (const GenerateResult& r : batch.texts) {
    out.put(r.index).list(r.tokens).list(r.text).put(r.finish).put(r.logprob).list(r.token_logprobs);
  }
  out.put(static_cast<uint64_t>(batch.load.size()));
  for (const ExpertLoad& l : batch.load) out.put(l.group).put(l.layer).list(l.tokens).list(l.weight);
  out.put(batch.statistics);
}
RankReport::Batch get_batch(WireReader& in) {
  RankReport::Batch batch;
  batch.scores.resize(in.get<uint64_t>());
  for (ScoreResult& r : batch.scores) {
    r.index = in.get<size_t>();
    r.logprob = in.get<double>();
    r.token_logprobs = in.list<std::vector<float>>();
    r.token_greedy = in.list<std::vector<uint8_t>>();
    r.greedy = in.get<bool>();
  }
  batch.texts.resize(in.get<uint64_t>());
  for (GenerateResult& r : batch.texts) {
    r.index = in.get<size_t>();
    r.tokens = in.list<std::vector<TokenId>>();
    r.text = in.text();
    r.finish = in.get<FinishReason>();
    r.logprob = in.get<double>();
    r.token_logprobs = in.list<std::vector<float>>();
  }
  batch.load.resize(in.get<uint64_t>());
  for (ExpertLoad& l : batch.load) {
    l.group = in.get<int>();
    l.layer = in.get<int>();
    l.tokens = in.list<std::vector<uint64_t>>();
    l.weight = in.list<std::vector<double>>();
  }
  batch.statistics = in.get<EngineStatistics>();
  return batch;
}

void put_error(WireWriter& out, const std::exception_ptr& error) {
  const auto text = [&](ErrorKind kind, std::string_view what, std::string_view where, std::string_view remedy) {
    out.put(kind).list(what).list(where).list(remedy);
  };
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    text(e.kind(), e.message(), e.where(), e.remedy());
  } catch (const std::bad_alloc&) {
    text(ErrorKind::resource, "out of memory", "a rank", "a smaller --memory or --pass-tokens may help");
  } catch (const std::exception& e) {
    text(ErrorKind::internal, e.what(), "a rank", "please report this");
  }
}
std::exception_ptr get_error(WireReader& in) {
  const auto kind = in.get<ErrorKind>();
  std::string what = in.text(), where = in.text(), remedy = in.text();
  return std::make_exception_ptr(Error(kind, std::move(what), std::move(where), std::move(remedy)));
}

}  // namespace

Bytes encode(const EngineOptions& o) {
  WireWriter out;
  out.list(o.model.string()).list(o.config.string()).put(o.numerics).put(o.kernels).list(o.devices);
  out.put(o.parallel).put(o.gpu_memory_bytes).put(o.threads).put(o.memory_bytes).put(o.pass_tokens);
  out.put(o.expert_load).put(o.speculate_mtp).put(o.graphs).put(o.require_tokenizer);
  out.put(o.prepare_ahead);
  return out.take();
}
EngineOptions decode_options(const Bytes& bytes) {
  WireReader in(bytes);
  EngineOptions o;
  o.model = in.text();
  o.config = in.text();
  o.numerics = in.get<Numerics>();
  o.kernels = in.get<Kernels>();
  o.devices = in.list<std::vector<Device>>();
  o.parallel = in.get<Parallel>();
  o.gpu_memory_bytes = in.get<size_t>();
  o.threads = in.get<int>();
  o.memory_bytes = in.get<size_t>();
  o.pass_tokens = in.get<int>();
  o.expert_load = in.get<bool>();
  o.speculate_mtp = in.get<bool>();
  o.graphs = in.get<bool>();
  o.require_tokenizer = in.get<bool>();
  o.prepare_ahead = in.get<bool>();
  return o;
}

Bytes encode(const RankJob& job) {
  WireWriter out;
  out.put(job.kind).list(job.rank_of).put(static_cast<uint64_t>(job.scores.size()));
  for (const ScoreRequest& r : job.scores) {
    out.list(r.context).list(r.continuation).put(r.group).put(r.finished).list(r.name);
  }
  out.put(static_cast<uint64_t>(job.generations.size()));
  for (const GenerateRequest& r : job.generations) {
    out.list(r.prompt).put(static_cast<uint64_t>(r.stop.size()));
    for (const std::string& stop : r.stop) out.list(stop);
    out.put(r.max_tokens).put(r.sampling).put(r.group).put(r.finished).put(r.stop_at_eos).list(r.required).list(r.name);
  }
  return out.take();
}
void decode(const Bytes& bytes, StoredJob& out) {
  WireReader in(bytes);
  out = {};
  const auto span = [&]() -> TokenSpan {
    return out.tokens.emplace_back(in.list<std::vector<TokenId>>());  // (moving a vector keeps its memory)
  };
  const auto name = [&]() -> std::string_view { return out.names.emplace_back(in.text()); };
  out.job.kind = in.get<RankJob::Kind>();
  out.rank_of = in.list<std::vector<int>>();
  out.scores.resize(in.get<uint64_t>());
  for (ScoreRequest& r : out.scores) {
    r.context = span();
    r.continuation = span();
    r.group = in.get<int>();
    r.finished = in.get<bool>();
    r.name = name();
  }
  out.generations.resize(in.get<uint64_t>());
  for (GenerateRequest& r : out.generations) {
    r.prompt = span();
    r.stop.resize(in.get<uint64_t>());
    for (std::string& stop : r.stop) stop = in.text();
    r.max_tokens = in.get<int>();
    r.sampling = in.get<Sampling>();
    r.group = in.get<int>();
    r.finished = in.get<bool>();
    r.stop_at_eos = in.get<bool>();
    r.required = in.text();
    r.name = name();
  }
  out.job.scores = out.scores;
  out.job.generations = out.generations;
  out.job.rank_of = out.rank_of;
}

Bytes encode(const RankReport& report) {
  WireWriter out;
  out.put(report.rank).put(report.what.index());
  if (const auto* opened = std::get_if<RankReport::Opened>(&report.what)) put(out, opened->capabilities);
  if (const auto* batch = std::get_if<RankReport::Batch>(&report.what)) put(out, *batch);
  if (const auto* ended = std::get_if<RankReport::Ended>(&report.what)) put(out, ended->rest);
  if (const auto* p = std::get_if<EngineProgress>(&report.what)) {
    out.list(p->stage).put(p->tokens_done).put(p->tokens_planned).put(p->requests_done).put(p->requests);
  }
  if (const auto* failed = std::get_if<RankReport::Failed>(&report.what)) {
    put_error(out, failed->error);
    out.put(failed->other);
  }
  return out.take();
}
RankReport decode_report(const Bytes& bytes) {
  WireReader in(bytes);
  RankReport report;
  report.rank = in.get<int>();
  switch (in.get<size_t>()) {
    case kIndex<RankReport::Opened>: report.what = RankReport::Opened{get_capabilities(in)}; break;
    case kIndex<RankReport::Batch>: report.what = get_batch(in); break;
    case kIndex<RankReport::Ended>: report.what = RankReport::Ended{get_batch(in)}; break;
    case kIndex<EngineProgress>: {
      EngineProgress p;
      p.stage = stage_name(in.text());
      p.tokens_done = in.get<uint64_t>();
      p.tokens_planned = in.get<uint64_t>();
      p.requests_done = in.get<uint64_t>();
      p.requests = in.get<uint64_t>();
      report.what = p;
      break;
    }
    case kIndex<RankReport::Failed>: {
      RankReport::Failed failed;
      failed.error = get_error(in);
      failed.other = in.get<bool>();
      report.what = failed;
      break;
    }
    default: throw_internal("a report of no known kind", "engine/distributed");
  }
  return report;
}

}  // namespace assay::engine
