#!/usr/bin/env bash
# Compiles the README's code for Flex plugins, strictly, and runs it against `flexglue dev`.
#
#   tests/crosscheck/plugin.sh [FOLDER]
#
# Installs the TypeScript compiler into FOLDER (a temporary one if none is given). Needs Node 20 and npm; where there
# is no npm it says so and is done.
set -euo pipefail

readonly typescript_version=5.9.3 node_types_version=20.19.0

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if ! command -v npm >/dev/null; then
  echo "no npm: the plugin's code is not run"
  exit 0
fi
if [[ $# -gt 0 ]]; then
  folder=$1
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
else
  folder=$(mktemp -d)
fi
dev=
finish() {
  [[ -z $dev ]] || kill "$dev" 2>/dev/null || true
  [[ $# -gt 0 ]] || rm -rf "$folder"
}
trap 'finish "$@"' EXIT

echo "compiling the README's code with TypeScript $typescript_version"
npm install --silent --no-audit --no-fund --prefix "$folder" \
  "typescript@$typescript_version" "@types/node@$node_types_version"
mkdir -p "$folder/built"
echo '{"type": "module"}' >"$folder/built/package.json"
awk '/^```ts$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/README.md" >"$folder/reach-out.ts"
"$folder/node_modules/.bin/tsc" --strict --noUncheckedIndexedAccess --target es2022 --module es2022 \
  --moduleResolution bundler --types node --typeRoots "$folder/node_modules/@types" \
  --outDir "$folder/built" "$folder/reach-out.ts"
cp "$here/plugin.mjs" "$folder/built/plugin.mjs"

echo "starting flexglue dev"
cd "$root"
# As the tests build it, so that nothing is built twice with other features.
cargo test --quiet --workspace --test commands --no-run
"${CARGO_TARGET_DIR:-target}/debug/flexglue" dev --listen 127.0.0.1:0 --twilio 127.0.0.1:0 --dynamodb 127.0.0.1:0 \
  --page 127.0.0.1:0 >"$folder/dev.log" &
dev=$!
until grep -q 'Stop with' "$folder/dev.log"; do
  kill -0 "$dev" # ends the script where dev has ended
done
node "$folder/built/plugin.mjs" "$folder/dev.log"
