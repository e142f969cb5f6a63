#!/usr/bin/env bash
# Runs every fuzz target for SECONDS each (30 unless told), installing what it needs.
# Stable Rust will do: without a sanitizer cargo-fuzz asks nothing of the compiler that it lacks.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
# The log syncs often; memory is the medium here.
[[ -w /dev/shm ]] && export TMPDIR=/dev/shm
for target in $(cargo fuzz list); do
  printf '=== %s for %d s\n' "$target" "$seconds"
  corpora=("fuzz/corpus/$target")
  [[ -d fuzz/seeds/$target ]] && corpora+=("fuzz/seeds/$target")
  mkdir -p "${corpora[0]}"
  cargo fuzz run --sanitizer none "$target" "${corpora[@]}" -- \
    -len_control=0 -max_len=2048 -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
done
