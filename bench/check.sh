#!/usr/bin/env bash
# Counts what the functions cost (instructions of an event, requests, bytes of the package) and fails where that is
# beyond the bounds of bench/src/bounds.rs. As root it installs valgrind and zip where there are none.
#
#   bench/check.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for tool in valgrind zip; do
  if ! command -v "$tool" >/dev/null && command -v apt-get >/dev/null && [[ $EUID -eq 0 ]]; then
    echo "installing $tool"
    log=$(mktemp)
    { apt-get update && apt-get install --yes --no-install-recommends "$tool"; } >"$log" 2>&1 </dev/null ||
      tail -n 3 "$log" >&2
    rm "$log"
  fi
done
# What measures need not be quick itself.
cargo run --quiet --package flexglue-bench -- --check
