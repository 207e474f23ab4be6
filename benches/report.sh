#!/usr/bin/env bash
# Prints every measurement of docs/performance.md, in its form and order: benches/report.sh [THREADS]
# On a quiet machine; it takes an hour or so.
set -euo pipefail
cd "$(dirname "$0")/.."
threads=${1:-2}

show() {
  printf '\n```sh\ncargo xtask %s --threads %s\n```\n\n' "$*" "$threads"
}

fenced() {
  show "$@"
  echo '```text'
  cargo xtask "$@" --threads "$threads"
  echo '```'
}

small=(--resolution 32 --channel-base 1024 --channel-max 64 --z-dim 64 --w-dim 64 --batch 16)

cargo build --release --package xtask --quiet
show bench peers
cargo xtask bench peers --threads "$threads" || echo "a peer failed: its message is above" >&2
fenced bench ceilings
fenced bench scaling generate
fenced bench scaling train-step "${small[@]}"
fenced profile generate --resolution 256 --runs 10
fenced profile train-step "${small[@]}"
