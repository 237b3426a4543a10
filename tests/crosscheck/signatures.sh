#!/usr/bin/env bash
# Checks our signatures against those of Twilio's own libraries.
#
#   tests/crosscheck/signatures.sh [FOLDER]
#
# Installs the libraries into FOLDER (a temporary one if none is given), lets the Python one sign 3,000 random
# requests, asks the Node one whether it agrees (if npm is there), and has our verifier judge all of them.
set -euo pipefail

readonly seed=20250311 count=3000 sample_lines=40
readonly python_version=9.13.0 node_version=6.2.0

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
sample=$root/shared/tests/data/signatures.jsonl
if [[ $# -gt 0 ]]; then
  folder=$1
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
vectors=$folder/signatures.jsonl

echo "signing $count requests with twilio $python_version for Python, seed $seed"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "twilio==$python_version"
"$folder/venv/bin/python" "$here/signatures.py" "$count" "$seed" >"$vectors"

if command -v npm >/dev/null; then
  echo "asking twilio $node_version for Node"
  npm install --silent --no-audit --no-fund --prefix "$folder/node" "twilio@$node_version"
  NODE_PATH=$folder/node/node_modules node "$here/signatures.cjs" "$vectors"
else
  echo "no npm: Node's library is not asked"
fi

echo "asking flexglue"
cd "$root"
FLEXGLUE_SIGNATURE_VECTORS=$vectors cargo test --quiet -p flexglue-shared --test signature_vectors

# The sample that every test run checks is the beginning of the same file.
if ! head -n "$sample_lines" "$vectors" | cmp -s - "$sample"; then
  echo "the sample is not what this script makes; if that is meant, run:" >&2
  echo "  $0 FOLDER && head -n $sample_lines FOLDER/signatures.jsonl >${sample#"$root"/}" >&2
  exit 1
fi
echo "all agree"
