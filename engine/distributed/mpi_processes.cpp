// Processes over MPI (processes.h, process_ranks.h).
//
// The first process has the coordinator in its main thread and its own rank in another; the others'
// main threads are their ranks. Messages between the two sides carry a length and then the bytes; those
// that wait for one sleep in between, so that a rank without a job takes no processor.
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/workers.h"
#include "engine/distributed/mpi_collective.h"
#include "engine/distributed/nccl_collective.h"
#include "engine/distributed/process_ranks.h"
#include "engine/distributed/rank.h"
#include "engine/distributed/rank_messages.h"
#include "engine/distributed/thread_ranks.h"
#include "engine/ops/cuda/cuda_backend.h"
#include "engine/processes.h"

namespace assay::engine {

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

enum Tag : int { kOpen = 1, kJob, kCancel, kReport, kQuit };
constexpr Milliseconds kNap{1};
constexpr size_t kPiece = size_t{1} << 30;  // MPI counts in int

// MPI is one a process, and so is this.
struct World {
  int rank = 0, size = 1, local_rank = 0, local_size = 1;
  MPI_Comm messages = MPI_COMM_NULL;
  bool failed = false;  // operations may be left that never end
};
World& world() {
  static World only;
  return only;
}

void send(const Bytes& bytes, int to, Tag tag) {
  const auto length = static_cast<int64_t>(bytes.size());
  check_mpi(MPI_Send(&length, 1, MPI_INT64_T, to, tag, world().messages), "sending a message");
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const auto n = static_cast<int>(std::min(kPiece, bytes.size() - at));
    check_mpi(MPI_Send(bytes.data() + at, n, MPI_BYTE, to, tag, world().messages), "sending a message");
  }
}
void send_to_others(const Bytes& bytes, Tag tag) {
  for (int r = 1; r < world().size; ++r) send(bytes, r, tag);
}
bool arrived(int from, int tag, MPI_Status& status) {
  int there = 0;
  check_mpi(MPI_Iprobe(from, tag, world().messages, &there, &status), "waiting for a message");
  return there != 0;
}
Bytes receive(const MPI_Status& status) {
  int64_t length = 0;
  const int from = status.MPI_SOURCE, tag = status.MPI_TAG;
  check_mpi(MPI_Recv(&length, 1, MPI_INT64_T, from, tag, world().messages, MPI_STATUS_IGNORE), "receiving a message");
  Bytes bytes(static_cast<size_t>(length));
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const auto n = static_cast<int>(std::min(kPiece, bytes.size() - at));
    check_mpi(MPI_Recv(bytes.data() + at, n, MPI_BYTE, from, tag, world().messages, MPI_STATUS_IGNORE),
              "receiving a message");
  }
  return bytes;
}
// The next message of the first process.
std::pair<Tag, Bytes> next_message() {
  MPI_Status status;
  while (!arrived(0, MPI_ANY_TAG, status)) std::this_thread::sleep_for(kNap);
  const auto tag = static_cast<Tag>(status.MPI_TAG);
  return {tag, receive(status)};
}

// What this process may use: its device, and its share of a machine's processors and memory, unless it is
// bound to a part of them.
EngineOptions options_of_process(const EngineOptions& options) {
  const World& w = world();
  EngineOptions out = options;
  Device device = options.device();
  if (options.devices.size() > 1) {
    if (static_cast<int>(options.devices.size()) < w.local_size) {
      throw_usage(std::to_string(w.local_size) + " processes on a machine, but " +
                      std::to_string(options.devices.size()) + " devices",
                  "name a device for each, or one for all");
    }
    device = options.devices[static_cast<size_t>(w.local_rank)];
  } else if (device.kind == DeviceKind::cuda) {
    device.index += w.local_rank;
  }
  out.devices = {device};
  if (out.threads == 0) {
    const int processors = available_processors();
    const bool bound = processors < ::sysconf(_SC_NPROCESSORS_ONLN);
    out.threads = bound ? processors : std::max(1, processors / w.local_size);
  }
  if (out.memory_bytes == 0) out.memory_bytes = available_memory() / static_cast<size_t>(w.local_size);
  return out;
}

// The communicators of an engine's ranks. Every engine has its own: what a failed one left on its way
// meets nobody.
struct Channels {
  MPI_Comm rows = MPI_COMM_NULL, notices = MPI_COMM_NULL;
};
Channels make_channels() {
  Channels out;
  check_mpi(MPI_Comm_dup(world().messages, &out.rows), "making a group");
  check_mpi(MPI_Comm_dup(world().messages, &out.notices), "making a group");
  return out;
}

// The rank of this process, until it is told to end or fails.
void run_process_rank(const RankSetup& setup, RankLink& link, const Channels& channels) {
  run_rank(world().rank, setup, link, [&]() -> std::unique_ptr<Collective> {
    if (setup.parallel == Parallel::data || setup.parallel == Parallel::none) return nullptr;
    if (setup.options.device().kind == DeviceKind::cpu) return make_mpi_collective(channels.rows, channels.notices);
    ops::usable_cuda_device(setup.options.device().index);
    std::string group;
    if (world().rank == 0) group = make_nccl_group();
    auto length = static_cast<int64_t>(group.size());
    check_mpi(MPI_Bcast(&length, 1, MPI_INT64_T, 0, channels.notices), "naming the group of GPUs");
    group.resize(static_cast<size_t>(length));
    check_mpi(MPI_Bcast(group.data(), static_cast<int>(length), MPI_BYTE, 0, channels.notices),
              "naming the group of GPUs");
    return join_nccl_group(group, world().size, world().rank, setup.options.device().index);
  });
}

RankSetup setup_of_process(const EngineOptions& options, std::shared_ptr<const Checkpoint> checkpoint,
                           std::shared_ptr<const Tokenizer> tokenizer, Division* division = nullptr) {
  RankSetup setup;
  setup.options = options_of_process(options);
  setup.checkpoint = std::move(checkpoint);
  setup.tokenizer = std::move(tokenizer);
  const Division all = divide(setup.checkpoint->config(), numerics_of(options, *setup.checkpoint), options, world().size);
  setup.parallel = all.parallel;
  setup.share = all.shares[static_cast<size_t>(world().rank)];
  if (division) *division = all;
  return setup;
}

// --- all but the first ------------------------------------------------------------------------------

class ProcessLink final : public RankLink {
 public:
  RankJob next_job() override {
    for (;;) {
      const auto [tag, bytes] = next_message();
      if (tag != kJob) continue;  // (a cancelled job that had ended)
      cancelled_ = false;
      decode(bytes, stored_);
      return stored_.job;
    }
  }
  void report(RankReport report) override { send(encode(report), 0, kReport); }
  bool cancelled() override {
    MPI_Status status;
    if (!cancelled_ && arrived(0, kCancel, status)) {
      receive(status);
      cancelled_ = true;
    }
    return cancelled_;
  }

 private:
  StoredJob stored_;
  bool cancelled_ = false;
};

void serve_engine(const Bytes& message) {
  ProcessLink link;
  const Channels channels = make_channels();
  RankSetup setup;
  try {
    const EngineOptions options = decode_options(message);
    std::shared_ptr<const Tokenizer> tokenizer;
    if (options.require_tokenizer) tokenizer = Tokenizer::load(options.model);
    setup = setup_of_process(
        options, std::make_shared<const Checkpoint>(Checkpoint::open(options.model, options.config)), tokenizer);
  } catch (...) {
    link.report({world().rank, RankReport::Failed{std::current_exception(), false}});
    return;
  }
  run_process_rank(setup, link, channels);
}

// --- the first --------------------------------------------------------------------------------------

class ProcessRanks final : public RankGroup {
 public:
  ProcessRanks(const RankSetup& setup, const Channels& channels)
      : own_(start_thread_ranks(1, [setup, channels](int, RankLink& link) { run_process_rank(setup, link, channels); })) {}
  ~ProcessRanks() override {
    try {
      send_to_others(encode(RankJob{}), kJob);
    } catch (const Error&) {  // (the program ends anyway)
    }
  }

  int size() const override { return world().size; }
  void give(const RankJob& job) override {
    send_to_others(encode(job), kJob);
    own_->give(job);
  }
  void cancel() override {
    own_->cancel();
    send_to_others({}, kCancel);
  }
  std::optional<RankReport> next_report(Milliseconds most) override {
    const auto until = Clock::now() + most;
    do {
      MPI_Status status;
      std::optional<RankReport> report;
      if (arrived(MPI_ANY_SOURCE, kReport, status)) {
        report = decode_report(receive(status));
      } else {
        report = own_->next_report(kNap);
      }
      if (!report) continue;
      if (std::holds_alternative<RankReport::Failed>(report->what)) world().failed = true;
      return report;
    } while (Clock::now() < until);
    return {};
  }

 private:
  const std::unique_ptr<RankGroup> own_;
};

int number_of(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::atoi(value) : 0;
}

}  // namespace

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);  // allowed before MPI_Init
  const std::string_view all(text, static_cast<size_t>(length));
  return std::string(all.substr(0, all.find_first_of(",\n")));
}

int process_count() { return world().size; }

std::unique_ptr<Engine> open_process_engine(const RankSetup& setup) {
  Division division;
  const RankSetup own = setup_of_process(setup.options, setup.checkpoint, setup.tokenizer, &division);
  send_to_others(encode(setup.options), kOpen);
  const Channels channels = make_channels();
  return make_parallel_engine(own, division, std::make_unique<ProcessRanks>(own, channels));
}

Processes::Processes() {
  // Open MPI's and MPICH's starters, and srun with either.
  if (std::max({number_of("OMPI_COMM_WORLD_SIZE"), number_of("PMI_SIZE"), number_of("PMIX_SIZE")}) < 2 &&
      std::getenv("PMIX_RANK") == nullptr) {
    return;
  }
  int level = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &level), "starting MPI");
  if (level < MPI_THREAD_MULTIPLE) {
    throw_resource("this MPI library does not allow several threads", "MPI", "use one built with thread support");
  }
  World& w = world();
  MPI_Comm local;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &w.messages), "joining the processes");
  check_mpi(MPI_Comm_rank(w.messages, &w.rank), "joining the processes");
  check_mpi(MPI_Comm_size(w.messages, &w.size), "joining the processes");
  check_mpi(MPI_Comm_split_type(w.messages, MPI_COMM_TYPE_SHARED, w.rank, MPI_INFO_NULL, &local), "joining the processes");
  check_mpi(MPI_Comm_rank(local, &w.local_rank), "joining the processes");
  check_mpi(MPI_Comm_size(local, &w.local_size), "joining the processes");
}

Processes::~Processes() {
  if (world().messages == MPI_COMM_NULL) return;
  MPI_Finalize();
}

bool Processes::first() const { return world().rank == 0; }

int Processes::serve() {
  // An interrupt is for the first process, which ends its run in order and then this one.
  ::signal(SIGINT, SIG_IGN);
  for (;;) {
    const auto [tag, bytes] = next_message();
    if (tag == kOpen) serve_engine(bytes);
    if (tag == kQuit) return WireReader(bytes).get<int>();
  }
}

void Processes::end(int code) {
  if (world().size > 1) send_to_others(WireWriter().put(code).take(), kQuit);
}

}  // namespace assay::engine
