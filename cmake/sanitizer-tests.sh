#!/usr/bin/env bash
# Builds the parts that parse or run threads with sanitizers and runs their tests: address and
# undefined behaviour over everything that reads foreign bytes, threads over what shares work.
# Usage: cmake/sanitizer-tests.sh [JOBS] [--quick]
# --quick, which ./bootstrap test runs: what has been seen passing and builds in a few minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
asan_targets="test_base test_datasets test_sandbox test_engine_checkpoint test_engine_text"
tsan_targets="test_base test_engine_execute"
if [ "${2:-}" = --quick ]; then
  asan_targets="test_base test_sandbox"
  tsan_targets=""
fi

# The sandbox's processes are no place for sanitizers; its parser of foreign frames is. Of execution:
# what computes on two threads beside the one that prepares weights, in every family.
filter_of() {
  case $1 in
    test_sandbox) echo 'Frame*:Record*' ;;
    test_engine_execute) echo 'Random/Invariance.Scores/*_1:Random/Invariance.Texts/*_1:Requests*' ;;
    *) echo '*' ;;
  esac
}

run() {  # preset, targets...
  local preset=$1 target
  shift
  cmake --preset "$preset" >/dev/null
  cmake --build "build/$preset" -j "$jobs" --target "$@"
  for target in "$@"; do
    echo "== $preset: $target"
    "build/$preset/bin/$target" --gtest_brief=1 --gtest_filter="$(filter_of "$target")"
  done
}

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# shellcheck disable=SC2086
run asan-ubsan $asan_targets
export TSAN_OPTIONS=halt_on_error=1
# shellcheck disable=SC2086
if [ -n "$tsan_targets" ]; then run tsan $tsan_targets; fi
