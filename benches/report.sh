#!/usr/bin/env bash
# Prints every measurement of docs/performance.md but those of a GPU, in its form and order: benches/report.sh [THREADS]
# On a quiet machine; it takes an hour or so.
set -euo pipefail
cd "$(dirname "$0")/.."
threads=${1:-2}

# A command as it is typed, variables first.
show() {
  printf '\n```sh\n%s\n```\n\n' "$*"
}

# A command and what it prints. `env` takes the variables before it.
fenced() {
  show "$@"
  echo '```text'
  env "$@" || echo "failed: the message is above"
  echo '```'
}

small=(--resolution 32 --channel-base 1024 --channel-max 64 --z-dim 64 --w-dim 64 --batch 16)
picture=(cargo xtask bench generate --resolution 256)

cargo build --release --package xtask --quiet
show cargo xtask bench peers --threads "$threads"
cargo xtask bench peers --threads "$threads" || echo "a peer failed: its message is above" >&2
fenced cargo xtask bench ceilings --threads "$threads"
fenced cargo xtask bench scaling generate --threads "$threads"
fenced cargo xtask bench scaling train-step "${small[@]}" --threads "$threads"
fenced cargo xtask profile generate --resolution 256 --runs 10 --threads "$threads"
fenced cargo xtask profile train-step "${small[@]}" --threads 1
fenced "${picture[@]}" --precision bf16
for instructions in avx512 avx2 neon portable; do
  fenced STYLEGAN_SIMD="$instructions" "${picture[@]}" --threads 1
  fenced STYLEGAN_SIMD="$instructions" cargo xtask bench train-step "${small[@]}" --threads 1
done
for algorithm in auto direct; do
  fenced RAYON_NUM_THREADS=1 STYLEGAN_CONV="$algorithm" cargo bench -p stylegan-benches --bench kernels -- conv3x3
done
