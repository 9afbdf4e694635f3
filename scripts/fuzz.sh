#!/bin/bash
# Gives every parser of foreign data, or those that are named, whatever libFuzzer makes up:
# scripts/fuzz.sh SECONDS [TARGET…], of processor time each, so that a busy host tries as much as an idle
# one. Ends with 1 when one crashed, took more than 10 s of processor for one input, or 512 MiB.
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

# Seconds of processor time that the programs took that this script has waited for.
taken() {
  local stat
  read -r -a stat </proc/$$/stat
  echo $(((stat[15] + stat[16]) / $(getconf CLK_TCK)))
}

# What libFuzzer calls a hang by the clock is one if it takes its 10 s by itself, too, of the processor.
hangs() {
  local before
  before=$(taken)
  FUZZ_TARGET=$1 "$program" -timeout=600 "$2" </dev/null >/dev/null 2>&1 || return 0
  (($(taken) - before > 10))
}

for target in "${targets[@]}"; do
  made=target/fuzz/corpus/$target
  log=$found/$target.log
  mkdir -p "$made"
  : >"$log"
  end=$(($(taken) + seconds))
  while left=$((end - $(taken))) && ((left > 0)); do
    # What was made up in earlier runs is gone on with; fuzz/corpus itself stays as it is.
    FUZZ_TARGET=$target "$program" -max_total_time="$left" -timeout=10 -rss_limit_mb=512 \
      -max_len=131072 -print_final_stats=1 -artifact_prefix="$found/$target-" \
      "$made" "fuzz/corpus/$target" </dev/null >>"$log" 2>&1 && continue
    file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
    [[ $file == *-timeout-* ]] && ! hangs "$target" "$file" && continue
    failed=1
    echo "fuzz $target: FAILED: $(grep -m1 -E 'panicked|SUMMARY|ERROR' "$log" || tail -1 "$log")"
    echo "  all of it: $log"
    echo "  again: FUZZ_TARGET=$target $program $file"
    continue 2
  done
  runs=$(awk '/^stat::number_of_executed_units:/ { sum += $2 } END { print sum }' "$log")
  echo "fuzz $target: nothing found in $runs runs"
done
exit $failed
