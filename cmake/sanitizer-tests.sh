#!/usr/bin/env bash
# Builds the parts that parse or run threads with sanitizers and runs their tests: address and
# undefined behaviour over everything that reads foreign bytes, threads over what shares work.
# Usage: cmake/sanitizer-tests.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
asan_targets="test_base test_datasets test_text test_checkpoint test_results"
tsan_targets="test_base test_execute"

run() {  # preset, filter (gtest), targets...
  local preset=$1 target
  shift
  cmake --preset "$preset" >/dev/null
  local available=
  for target in "$@"; do
    if ninja -C "build/$preset" -t query "$target" >/dev/null 2>&1; then available+=" $target"; fi
  done
  # shellcheck disable=SC2086
  cmake --build "build/$preset" -j "$jobs" --target $available
  for target in $available; do
    echo "== $preset: $target"
    "build/$preset/bin/$target" --gtest_brief=1
  done
}

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# shellcheck disable=SC2086
run asan-ubsan $asan_targets
export TSAN_OPTIONS=halt_on_error=1
# shellcheck disable=SC2086
run tsan $tsan_targets
