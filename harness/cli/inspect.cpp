// assay inspect: what a checkpoint directory holds.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>

#include "base/json.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "harness/cli/stored_runs.h"
#include "harness/cli/verbs.h"
#include "harness/terminal/progress.h"
#include "results/table.h"

namespace assay::harness {

namespace {

std::string gibibytes(uint64_t bytes) {
  char buffer[32];
  const double b = static_cast<double>(bytes);
  if (b >= 1 << 30) {
    std::snprintf(buffer, sizeof buffer, "%.2f GiB", b / (1 << 30));
  } else {
    std::snprintf(buffer, sizeof buffer, "%.2f MiB", b / (1 << 20));
  }
  return buffer;
}

void print_json(const engine::CheckpointInfo& info) {
  json::Writer out(true);
  out.begin_object()
      .member("name", info.name)
      .member("architecture", info.architecture)
      .member("architecture_supported", info.architecture_supported)
      .member("supported", info.supported)
      .member("parameters", info.parameters)
      .member("active_parameters", info.active_parameters)
      .member("mtp", info.mtp_parameters > 0)
      .member("mtp_parameters", info.mtp_parameters)
      .member("bytes", info.bytes)
      .member("context_length", info.context_length)
      .member("layers", info.layers)
      .member("hidden", info.hidden)
      .member("heads", info.heads)
      .member("vocabulary", info.vocabulary)
      .member("routed_experts", info.routed_experts)
      .member("experts_per_token", info.experts_per_token)
      .member("shared_experts", info.shared_experts)
      .member("numerics", info.default_numerics ? engine::numerics_name(*info.default_numerics)
                                                : std::string_view())
      .member("tokenizer", info.tokenizer)
      .member("config_digest", info.config_digest)
      .member("weights_digest", info.weights_digest)
      .member("tokenizer_digest", info.tokenizer_digest);
  if (info.training_step) out.member("training_step", *info.training_step);
  if (info.training_tokens) out.member("training_tokens", *info.training_tokens);
  out.key("dtypes").begin_object();
  for (const auto& [dtype, bytes] : info.dtypes) out.member(dtype, bytes);
  out.end_object();
  out.key("notes").begin_array();
  for (const auto& note : info.notes) out.value(note);
  out.end_array();
  out.key("problems").begin_array();
  for (const auto& problem : info.problems) out.value(problem);
  out.end_array().end_object();
  std::cout << out.take() << '\n';
}

void print_text(const engine::CheckpointInfo& info) {
  constexpr size_t kLabel = 16;
  const auto line = [](std::string label, const std::string& value) {
    label.resize(kLabel, ' ');
    std::cout << label << utf8::printable(value) << '\n';
  };
  const auto paragraph = [](std::string label, const std::string& value) {
    label.resize(kLabel, ' ');
    std::istringstream lines(results::wrap_text(value, output_width() - kLabel));
    for (std::string text; std::getline(lines, text); label.assign(kLabel, ' ')) {
      std::cout << label << text << '\n';
    }
  };
  const auto number = [](int64_t n) { return std::to_string(n); };
  line("checkpoint", info.name);
  line("architecture", info.architecture + (info.architecture_supported ? "" : "  (not supported)"));
  if (info.architecture_supported) {
    line("parameters", count_text(static_cast<double>(info.parameters)) + ", " +
                           count_text(static_cast<double>(info.active_parameters)) +
                           " active per token");
    line("MTP layer", info.mtp_parameters == 0
                          ? "none"
                          : count_text(static_cast<double>(info.mtp_parameters)) +
                                " more parameters (not used for scoring)");
  }
  std::string dtypes;
  for (const auto& [dtype, bytes] : info.dtypes) {
    dtypes += (dtypes.empty() ? "" : ", ") + dtype + " " + gibibytes(bytes);
  }
  if (info.bytes > 0) line("weights", gibibytes(info.bytes) + " (" + dtypes + ")");
  if (info.architecture_supported) {
    line("shape", number(info.layers) + " layers, hidden " + number(info.hidden) + ", " +
                      number(info.heads) + " heads, vocabulary " + number(info.vocabulary));
    if (info.routed_experts > 0) {
      line("experts", number(info.routed_experts) + " routed, " + number(info.experts_per_token) +
                          " per token, " + number(info.shared_experts) + " shared");
    }
    line("context", number(info.context_length) + " tokens");
  }
  if (info.default_numerics) {
    line("numerics", std::string(engine::numerics_name(*info.default_numerics)) + " by default");
  }
  if (!info.tokenizer.empty()) paragraph("tokenizer", info.tokenizer);
  if (info.training_step) line("training step", number(*info.training_step));
  if (info.training_tokens) line("training tokens", number(*info.training_tokens));
  if (!info.weights_digest.empty()) line("weights digest", info.weights_digest.substr(0, 32));
  for (const auto& note : info.notes) paragraph("note", note);
  for (const auto& problem : info.problems) line("PROBLEM", problem);
  if (info.problems.empty()) line("problems", "none found");
}

}  // namespace

void add_inspect(CLI::App& app, Session& session) {
  struct Options {
    std::string model;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("inspect", "What a checkpoint directory holds");
  verb->add_option("DIR", options->model, "Checkpoint directory (Hugging Face layout), or a\n"
                                             "config.json alone")
      ->required();
  verb->add_flag("--json", options->json, "Print one JSON object");
  set_examples(*verb, {"assay inspect DeepSeek-V3-Base/", "assay inspect config.json --json"});
  verb->callback([options, &session] {
    const engine::CheckpointInfo info = engine::inspect_checkpoint(options->model);
    if (options->json) {
      print_json(info);
    } else {
      print_text(info);
    }
    if (!info.problems.empty()) session.exit_code = 3;
  });
}

}  // namespace assay::harness
