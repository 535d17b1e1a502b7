#!/usr/bin/env bash
# Builds with sanitizers and runs the tests of what reads foreign bytes, computes, or runs threads.
# Usage: cmake/sanitizer-tests.sh [JOBS] [--quick]
# --quick, which ./bootstrap test runs: what builds in a few minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}

# Preset, test program, filter. The sandbox's processes are no place for sanitizers; its parser of
# foreign frames is. Of execution: the models of seed 1 of each family.
quick='asan-ubsan test_base *
asan-ubsan test_sandbox Frame*:Record*'
full='asan-ubsan test_base *
asan-ubsan test_datasets *
asan-ubsan test_sandbox Frame*:Record*
asan-ubsan test_engine_checkpoint *
asan-ubsan test_engine_text *
asan-ubsan test_engine_model *
asan-ubsan test_engine_reference *
asan-ubsan test_engine_execute Random/Invariance*_1:Families/*:SampleCheckpoint*:Requests*:Overflow*:Forest*:Plan*
asan-ubsan test_engine_distributed Random/*_1:Forms/*:Collective*
tsan test_base *
tsan test_engine_execute Random/Invariance.Scores/*_1:Random/Invariance.Texts/*_1:Families/Streaming*:SampleCheckpoint*:Requests*
tsan test_engine_distributed Random/*/deepseek_v3_1:Random/*/qwen3_moe_1:Forms/*:Collective*
tsan test_harness ExecutionPool*:PreparationTest.AllAtOnce*:PreparationTest.CanBeGivenUp'
list=$full
if [ "${2:-}" = --quick ]; then list=$quick; fi

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1

# Without address randomisation: some kernels place programs where the thread sanitizer keeps its own.
steady() {
  if setarch -R true 2>/dev/null; then setarch -R "$@" </dev/null; else "$@" </dev/null; fi
}

run() {  # preset, more targets...
  local preset=$1 targets name target filter
  shift
  targets=$(awk -v preset="$preset" '$1 == preset { print $2 }' <<<"$list")
  cmake --preset "$preset" >/dev/null
  # shellcheck disable=SC2086
  cmake --build "build/$preset" -j "$jobs" --target $targets "$@"
  while read -r name target filter; do
    if [ "$name" != "$preset" ]; then continue; fi
    echo "== $preset: $target"
    steady "build/$preset/bin/$target" --gtest_brief=1 --gtest_filter="$filter"
  done <<<"$list"
}

run asan-ubsan
if [ "$list" = "$quick" ]; then exit; fi
run tsan assay

# A run as it is: programs are judged and results stored while texts are generated.
stores=$(mktemp -d)
trap 'rm -rf "$stores"' EXIT
for ranks in "" "--device cpu,cpu --parallel data"; do
  echo "== tsan: assay run $ranks"
  # shellcheck disable=SC2086
  steady build/tsan/bin/assay run --model sample/checkpoints/base-step-001201 --data sample --limit 8 \
    --tasks humaneval@ds_raw,hellaswag,mmlu --quiet --store "$stores/store${ranks:+-of-ranks}.sqlite" $ranks
done
