#!/usr/bin/env bash
# Has a customer chat on the page of `flexglue dev`, in Chromium, and Twilio's own Conversations SDK take our tokens.
#
#   tests/crosscheck/webchat.sh [FOLDER]
#
# Installs playwright-core and the SDK into FOLDER (a temporary one if none is given). Needs Node 20 and npm; where
# there is no npm it says so and is done. Needs Chromium, and installs Debian's as root; where there is none to be had
# it says so and leaves out what needs it.
set -euo pipefail

readonly playwright_version=1.65.1 conversations_version=3.0.1 ws_version=8.23.0

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if ! command -v npm >/dev/null; then
  echo "no npm: web chats are not tried in a browser"
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

if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [[ $EUID -eq 0 ]]; then
  echo "installing Debian's chromium"
  { apt-get update && apt-get install --yes --no-install-recommends chromium; } \
    >"$folder/apt.log" 2>&1 </dev/null || tail -n 3 "$folder/apt.log"
fi

echo "installing playwright-core $playwright_version and @twilio/conversations $conversations_version"
npm install --silent --no-audit --no-fund --prefix "$folder" \
  "playwright-core@$playwright_version" "@twilio/conversations@$conversations_version" "ws@$ws_version"
cp "$here"/webchat*.mjs "$folder"

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
timeout --kill-after 5 60 node "$folder/webchat_sdk.mjs" "$folder/dev.log"
if command -v chromium >/dev/null; then
  timeout --kill-after 5 180 node "$folder/webchat.mjs" "$folder/dev.log" "$(command -v chromium)"
else
  echo "no chromium, and none can be installed: THE BROWSER PART WAS NOT RUN"
fi
