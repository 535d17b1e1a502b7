// Bars of the results room: insert rate while a reader queries, bootstrap, comparison of two whole
// runs, report of 100,000 documents. A target, never a test: timings belong to a quiet machine.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <thread>

#include "base/file.h"
#include "results/compare.h"
#include "results/report.h"
#include "tests/results/synthetic_run.h"

namespace assay::results {
namespace {

using statistics::Pair;

// 10,000 resamples of 14,042 paired documents (the whole of MMLU). Bar: under 1 s on two cores.
void BM_Bootstrap(benchmark::State& state) {
  const Workers workers(static_cast<int>(state.range(0)));
  std::vector<Pair> pairs;
  Random random(1);
  for (int i = 0; i < 14042; ++i)
    pairs.push_back({random.uniform(), random.uniform(), 1, 0, i});
  for (auto _ : state)
    benchmark::DoNotOptimize(
        statistics::paired_bootstrap(pairs, statistics::Mean::micro, workers).p);
}
BENCHMARK(BM_Bootstrap)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

void insert_items(Store& store, const synthetic::Stored& stored, const synthetic::Shape& shape) {
  for (int64_t i = 0; i < shape.documents; ++i) {
    store.put_item(stored.evaluation, synthetic::item(shape, i));
    for (int k = 0; k < shape.options; ++k)
      store.put_option(stored.evaluation, synthetic::option(shape, i, k));
    store.put_grade(stored.evaluation, synthetic::grade(shape, i));
    if (i % 1000 == 999) store.commit();
  }
  store.commit();
}

// Documents with four options, two metrics and a prompt of 600 bytes, committed by the thousand,
// while another thread reads scores without pause. Bar: 20,000 a second.
void BM_Insert(benchmark::State& state) {
  const synthetic::Shape shape{.documents = 40000, .groups = 57};
  for (auto _ : state) {
    TemporaryDirectory folder;
    const auto path = folder.path() / "s.sqlite";
    Store store = Store::open(path, Store::Access::write);
    const auto stored = synthetic::begin(store, shape, "a");
    std::atomic<bool> done{false};
    int64_t queries = 0;
    std::thread reader([&] {
      const Store view = Store::open(path, Store::Access::read);
      while (!done) {
        benchmark::DoNotOptimize(view.finished_items(stored.evaluation).size());
        ++queries;
      }
    });
    const auto start = std::chrono::steady_clock::now();
    insert_items(store, stored, shape);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    done = true;
    reader.join();
    state.SetIterationTime(seconds.count());
    state.counters["queries"] = static_cast<double>(queries);
    state.counters["bytes_a_document"] =
        static_cast<double>(std::filesystem::file_size(path)) / static_cast<double>(shape.documents);
  }
  state.SetItemsProcessed(state.iterations() * shape.documents);
}
BENCHMARK(BM_Insert)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(1);

// `words` words with the frequencies of a language (Zipf over 8,000 made-up words): texts of every
// document are different and compress about as prose does, which invented counters do not.
std::string prose(uint64_t stream, int words) {
  static const std::vector<std::string> vocabulary = [] {
    Random random(42);
    std::vector<std::string> out;
    for (int w = 0; w < 8000; ++w) {
      std::string word;
      const uint64_t letters = 2 + random.below(3) + (w > 100 ? random.below(6) : 0);
      for (uint64_t i = 0; i < letters; ++i)
        word += "etaoinshrdlucmfwypvbgk"[std::min(random.below(22), random.below(22))];
      out.push_back(word);
    }
    return out;
  }();
  Random random(43, stream);
  std::string text;
  for (int w = 0; w < words; ++w) {
    const auto rank = static_cast<size_t>(std::pow(8000.0, random.uniform())) - 1;
    text += (w ? " " : "") + vocabulary[std::min<size_t>(rank, 7999)];
  }
  return text;
}

// A run whose documents are as long as those of MMLU: a question of 45 words, four options of six.
void store_prose_run(Store& store, const synthetic::Shape& shape, const std::string& label,
                     int64_t step) {
  const auto stored = synthetic::begin(store, shape, label, step);
  const uint64_t base = std::hash<std::string>{}(shape.task) << 20;
  for (int64_t i = 0; i < shape.documents; ++i) {
    ItemRecord item = synthetic::item(shape, i);
    const size_t question = item.context.rfind("Question");
    item.context.erase(question);
    item.context += prose(base + static_cast<uint64_t>(i), 45) + "?\n";
    for (int k = 0; k < shape.options; ++k)
      item.context += std::string(1, static_cast<char>('A' + k)) + ". " +
                      prose(base + static_cast<uint64_t>(1'000'000 + 4 * i + k), 6) + "\n";
    item.context += "Answer:";
    store.put_item(stored.evaluation, item);
    for (int k = 0; k < shape.options; ++k) {
      OptionRecord option = synthetic::option(shape, i, k);
      *option.logprob -= Random(shape.seed, static_cast<uint64_t>(4 * i + k)).uniform();
      store.put_option(stored.evaluation, option);
    }
    store.put_grade(stored.evaluation, synthetic::grade(shape, i));
  }
  store.add_expert_load(stored.evaluation, synthetic::load(1));
  store.commit();
  store.finish_evaluation(stored.evaluation);
  store.finish_run(stored.run);
}

// Two runs of 32 tasks with 150,016 documents each, on disk between calls of the benchmark. Kept where
// ASSAY_BENCH_STORE says, for a look with the program.
std::filesystem::path whole_store() {
  static TemporaryDirectory folder("assay-bench");
  static const std::filesystem::path path = [] {
    const char* keep = std::getenv("ASSAY_BENCH_STORE");
    const std::filesystem::path file = keep ? keep : folder.path() / "s.sqlite";
    if (std::filesystem::exists(file)) return file;
    Store store = Store::open(file, Store::Access::write);
    for (int run = 0; run < 2; ++run) {
      for (int task = 0; task < 32; ++task) {
        synthetic::Shape shape{.task = "task" + std::to_string(task), .documents = 4688,
                               .groups = 20, .seed = static_cast<uint64_t>(run + 1),
                               .clusters = task % 4 == 0};
        store_prose_run(store, shape, run == 0 ? "a" : "b", 100 * (run + 1));
      }
    }
    return file;
  }();
  return path;
}

// Bar: under 3 s.
void BM_CompareWholeRuns(benchmark::State& state) {
  const Store store = Store::open(whole_store(), Store::Access::read);
  const Workers workers(2);
  const RunSummary a = find_run(store, "a"), b = find_run(store, "b");
  for (auto _ : state)
    benchmark::DoNotOptimize(compare(store, a, b, {}, workers).tasks.size());
}
BENCHMARK(BM_CompareWholeRuns)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);

// Bar: 100,000 documents within 25 MB.
void BM_Report(benchmark::State& state) {
  const Store store = Store::open(whole_store(), Store::Access::read);
  const Workers workers(2);
  const auto runs = list_runs(store);
  size_t bytes = 0;
  for (auto _ : state) {
    const std::string page = html_report(store, runs, {}, workers);
    bytes = page.size();
    if (const char* keep = std::getenv("ASSAY_BENCH_REPORT")) write_file_atomically(keep, page);
  }
  state.counters["megabytes"] = static_cast<double>(bytes) / 1e6;
}
BENCHMARK(BM_Report)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

}  // namespace
}  // namespace assay::results

