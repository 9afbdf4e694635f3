#!/bin/bash
# Gives every parser of foreign data, or those that are named, whatever libFuzzer makes up:
# scripts/fuzz.sh SECONDS [TARGET…]. Ends with 1 when one crashed, hung or took too much memory.
set -euo pipefail
cd "$(dirname "$0")/.."

# As cargo's wrapper of the compiler: imgforge's own code tells where it comes along, by the passes that
# cargo-fuzz asks a nightly compiler for, and that a stable one has, too. Libraries are as they always are.
if [[ ${1:-} == *rustc ]]; then
  if [[ " $* " =~ " --crate-name "(imgforge|fuzz)" " ]]; then
    set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    for pass in inline-8bit-counters pc-table trace-compares; do
      set -- "$@" "-Cllvm-args=-sanitizer-coverage-$pass"
    done
  fi
  exec "$@"
fi

seconds=${1:?usage: $0 SECONDS [TARGET…]}
shift
RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz.sh ${CARGO:-cargo} build --locked -p imgforge-fuzz --features run
program=${CARGO_TARGET_DIR:-target}/debug/fuzz
found=target/fuzz/found
mkdir -p "$found"
targets=("$@")
if [ $# = 0 ]; then mapfile -t targets < <(ls fuzz/corpus); fi
failed=0
for target in "${targets[@]}"; do
  made=target/fuzz/corpus/$target
  log=$found/$target.log
  mkdir -p "$made"
  # What was made up in earlier runs is gone on with; fuzz/corpus itself stays as it is.
  if FUZZ_TARGET=$target "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 \
    -max_len=131072 -print_final_stats=1 -artifact_prefix="$found/$target-" \
    "$made" "fuzz/corpus/$target" </dev/null >"$log" 2>&1; then
    echo "fuzz $target: nothing found in $(sed -n 's/^stat::number_of_executed_units: //p' "$log") runs"
    continue
  fi
  failed=1
  file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
  echo "fuzz $target: FAILED: $(grep -m1 -E 'panicked|SUMMARY|ERROR' "$log" || tail -1 "$log")"
  echo "  all of it: $log"
  echo "  again: FUZZ_TARGET=$target $program $file"
done
exit $failed
