#include "sandbox/sandbox.h"

#include <signal.h>

#include <climits>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/workers.h"
#include "sandbox/probe.h"
#include "sandbox/worker.h"

namespace assay::sandbox {

struct Sandbox::State {
  struct Entry {
    Program program;
    std::function<void(Verdict)> done;
  };

  explicit State(Options options) : established(establish(options)) {
    const int workers = options.workers > 0 ? options.workers : available_processors();
    for (int i = 1; i <= workers; ++i) threads.emplace_back([this, i] { work(i); });
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    for (std::thread& thread : threads) thread.join();
    for (Entry& entry : queue) {
      Verdict verdict;
      verdict.reason = "shut down";
      entry.done(std::move(verdict));
    }
  }

  void work(int number) {
    // Programs may close their standard input while it is being written.
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    Worker worker(*established.shared, number);
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return stopping || (!queue.empty() && running < allowed); });
      if (stopping) return;
      Entry entry = std::move(queue.front());
      queue.pop_front();
      ++running;
      lock.unlock();
      entry.done(worker.judge(entry.program));
      entry = {};
      lock.lock();
      --running;
      changed.notify_one();
    }
  }

  Established established;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Entry> queue;
  int running = 0, allowed = INT_MAX;
  bool stopping = false;
  std::vector<std::thread> threads;
};

CaseSource cases(std::vector<Case> list) {
  return [list = std::move(list)](size_t index) -> std::optional<Case> {
    if (index >= list.size()) return std::nullopt;
    return list[index];
  };
}

Sandbox::Sandbox(Options options) : state_(std::make_unique<State>(std::move(options))) {}
Sandbox::~Sandbox() = default;

const Probe& Sandbox::probe() const { return state_->established.probe; }
int Sandbox::workers() const { return static_cast<int>(state_->threads.size()); }

void Sandbox::throttle(int programs) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->allowed = programs > 0 ? programs : INT_MAX;
  }
  state_->changed.notify_all();
}

void Sandbox::submit(Program program, std::function<void(Verdict)> done) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue.push_back({std::move(program), std::move(done)});
  }
  state_->changed.notify_one();
}

std::future<Verdict> Sandbox::submit(Program program) {
  auto promise = std::make_shared<std::promise<Verdict>>();
  std::future<Verdict> future = promise->get_future();
  submit(std::move(program),
         [promise](Verdict verdict) { promise->set_value(std::move(verdict)); });
  return future;
}

std::vector<Verdict> Sandbox::run_all(std::vector<Program> programs) {
  std::vector<std::future<Verdict>> futures;
  futures.reserve(programs.size());
  for (Program& program : programs) futures.push_back(submit(std::move(program)));
  std::vector<Verdict> verdicts;
  verdicts.reserve(futures.size());
  for (std::future<Verdict>& future : futures) verdicts.push_back(future.get());
  return verdicts;
}

}  // namespace assay::sandbox
