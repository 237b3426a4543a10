#!/usr/bin/env bash
# Compares our access tokens with those of Twilio's own libraries, both ways.
#
#   tests/crosscheck/tokens.sh [FOLDER]
#
# Installs the libraries into FOLDER (a temporary one if none is given; the one of signatures.sh will do), has them
# make 1,000 tokens from random input for ours to read, and has ours make as many for them to read.
set -euo pipefail

readonly seed=20261121 count=1000
readonly python_version=9.13.0 node_version=6.2.0

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [[ $# -gt 0 ]]; then
  folder=$1
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi

echo "making $count tokens with twilio $python_version for Python, seed $seed"
[[ -x $folder/venv/bin/python ]] || python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "twilio==$python_version"
"$folder/venv/bin/python" -W ignore "$here/tokens.py" make "$count" "$seed" >"$folder/theirs.jsonl"
if command -v npm >/dev/null; then
  echo "and with twilio $node_version for Node"
  npm install --silent --no-audit --no-fund --prefix "$folder/node" "twilio@$node_version"
  NODE_PATH=$folder/node/node_modules node "$here/tokens.cjs" make "$folder/theirs.jsonl" >"$folder/nodes.jsonl"
  cat "$folder/nodes.jsonl" >>"$folder/theirs.jsonl"
else
  echo "no npm: Node's library is not asked"
fi

echo "asking flexglue, which makes its own from the same input"
cd "$root"
FLEXGLUE_THEIR_TOKENS=$folder/theirs.jsonl FLEXGLUE_OUR_TOKENS=$folder/ours.jsonl \
  cargo test --quiet -p flexglue-shared --test token_vectors
"$folder/venv/bin/python" -W ignore "$here/tokens.py" check "$folder/ours.jsonl"
if command -v npm >/dev/null; then
  NODE_PATH=$folder/node/node_modules node "$here/tokens.cjs" check "$folder/ours.jsonl"
fi
echo "all agree"
