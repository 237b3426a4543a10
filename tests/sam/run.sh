#!/usr/bin/env bash
# Builds the functions with SAM, checks the packages, and gives each function the events of `events/` by
# `sam local invoke`, and some of them by `sam local start-api`, against the simulated Twilio and the embedded DynamoDB of `flexglue dev`.
#
#   tests/sam/run.sh [FOLDER]
#
# Installs SAM CLI, cargo-lambda and zig from PyPI into FOLDER (a temporary one if none is given). Wants a Docker
# engine; as root it starts one (Debian's, installed where there is none). Where no engine is to be had it says so, and
# runs the same packages under the runtime interface emulator that comes with SAM CLI.
set -euo pipefail

readonly sam_version=1.170.0 cargo_lambda_version=1.9.2 zig_version=0.17.0
readonly bridge=172.31.250.1 largest_zip=$((4 * 1024 * 1024)) newest_glibc=2.34

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ $# -gt 0 ]]; then
  folder=$1
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
else
  folder=$(mktemp -d)
fi
background=()
socket=
finish() {
  for process in "${background[@]}"; do kill "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
  [[ -z $socket ]] || rm -rf "$socket"
  [[ $# -gt 0 ]] || rm -rf "$folder"
}
trap 'finish "$@"' EXIT
export SAM_CLI_TELEMETRY=0 PIP_DISABLE_PIP_VERSION_CHECK=1
# SAM wants credentials, and asks nobody with them.
export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1

if [[ ! -x $folder/venv/bin/sam ]]; then
  echo "installing SAM CLI $sam_version, cargo-lambda $cargo_lambda_version and zig $zig_version"
  python3 -m venv "$folder/venv"
  # zig first: cargo-lambda looks for it when it is installed.
  "$folder/venv/bin/pip" install --quiet "ziglang==$zig_version" "cargo-lambda==$cargo_lambda_version" \
    "aws-sam-cli==$sam_version"
fi
export PATH=$folder/venv/bin:$PATH

build() {
  echo "building the template with SAM"
  cd "$root"
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
  # SAM builds one function after the other; this way every core has one, and SAM finds them built.
  cargo lambda build --release --bin inbound-webhook --bin outbound-participant --bin taskrouter-events \
    --bin webchat-token --bin orphan-sweeper >"$folder/build.log" 2>&1 || { tail -n 30 "$folder/build.log"; return 1; }
  # x86_64 is what can be run here.
  sam build --beta-features --parameter-overrides Architecture=x86_64 --build-dir "$folder/built" \
    >>"$folder/build.log" 2>&1 || { tail -n 30 "$folder/build.log"; return 1; }
  functions=("$folder"/built/*/bootstrap)
  ((${#functions[@]} == 5)) || { echo "expected five functions, SAM built ${functions[*]}"; return 1; }
}

packages() {
  local function name zip size glibc
  for function in "${functions[@]}"; do
    name=$(basename "$(dirname "$function")")
    zip=$folder/$name.zip
    python3 -m zipfile -c "$zip" "$function"
    size=$(stat --format %s "$zip")
    glibc=$(readelf --version-info "$function" | grep -o 'GLIBC_[0-9.]*' | sort --version-sort --unique | tail -n 1)
    printf '  %-20s %9d bytes zipped, needs %s\n' "$name" "$size" "$glibc"
    ((size < largest_zip)) || { echo "larger than 4 MiB"; return 1; }
    [[ $(printf '%s\n' "${glibc#GLIBC_}" $newest_glibc | sort --version-sort | tail -n 1) == "$newest_glibc" ]] ||
      { echo "provided.al2023 has glibc $newest_glibc"; return 1; }
  done
}

# An engine of the job's own, with its data in the job's folder, and without touching the machine's firewall.
engine() {
  if docker info >/dev/null 2>&1; then
    address=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
    return
  fi
  [[ $EUID -eq 0 ]] || return 1
  if ! command -v dockerd >/dev/null; then
    command -v apt-get >/dev/null || return 1
    echo "installing Debian's docker.io"
    { apt-get update && apt-get install --yes --no-install-recommends docker.io; } >"$folder/apt.log" 2>&1 </dev/null ||
      return 1
  fi
  # A socket's path may have about a hundred letters.
  socket=$(mktemp --directory)
  export DOCKER_HOST=unix://$socket/docker.sock
  dockerd --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false --bip=$bridge/24 \
    --data-root "$folder/docker" --exec-root "$folder/docker-exec" --pidfile "$folder/docker.pid" -H "$DOCKER_HOST" \
    >"$folder/dockerd.log" 2>&1 &
  background+=($!)
  until docker info >/dev/null 2>&1; do
    kill -0 "${background[-1]}" 2>/dev/null || return 1
  done
  address=$bridge
}

# Amazon's image. In an engine of the job's own it is one that SAM takes for it, of a shell and a C library: the real one
# cannot be had everywhere.
image() {
  local name=public.ecr.aws/lambda/provided:al2023-x86_64 base=$folder/base
  docker image inspect "$name" >/dev/null 2>&1 && return
  if [[ $address != "$bridge" ]]; then
    docker pull --quiet "$name"
    return
  fi
  command -v busybox >/dev/null || apt-get install --yes --no-install-recommends busybox-static >>"$folder/apt.log" 2>&1
  rm -rf "$base"
  mkdir -p "$base"/{bin,lib64,lib/x86_64-linux-gnu,tmp,var/task,var/runtime,opt}
  cp "$(command -v busybox)" "$base/bin/busybox"
  for command in sh cat chmod ls mkdir; do ln -sf busybox "$base/bin/$command"; done
  local library needed
  needed=$(readelf --dynamic "${functions[@]}" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort --unique)
  for library in $needed ld-linux-x86-64.so.2; do
    cp --dereference "$(find /lib64/ /lib/x86_64-linux-gnu/ -name "$library" -print -quit 2>/dev/null)" "$base/lib64/"
    # Where a loader looks depends on whose it is.
    cp "$base/lib64/$library" "$base/lib/x86_64-linux-gnu/"
  done
  tar -C "$base" -c . | docker import --platform linux/amd64 - "$name" >/dev/null
}

# The simulated Twilio and the embedded DynamoDB, where functions reach them.
start_dev() {
  cargo test --quiet --workspace --test commands --no-run
  "$CARGO_TARGET_DIR/debug/flexglue" dev --listen 127.0.0.1:0 --page 127.0.0.1:0 \
    --twilio "$address:0" --dynamodb "$address:0" >"$folder/dev.log" &
  background+=($!)
  until grep -q 'Stop with' "$folder/dev.log"; do
    kill -0 "${background[-1]}" # ends the script where dev has ended
  done
  local twilio dynamodb
  twilio=$(sed -n 's|.*simulated Twilio  *\(http://[^ ]*\).*|\1|p' "$folder/dev.log")
  dynamodb=$(sed -n 's|.*DynamoDB  *\(http://[^ ]*\).*|\1|p' "$folder/dev.log")
  sed -e "s|http://host.docker.internal:4010|$twilio|" -e "s|http://host.docker.internal:8000|$dynamodb|" \
    "$root/events/env.json" >"$folder/env.json"
}

in_container() {
  sam local invoke "$1" --event "$2" --env-vars "$folder/env.json" --template "$folder/built/template.yaml" \
    --skip-pull-image --parameter-overrides Architecture=x86_64 2>>"$folder/invoke.log"
}

# One emulator for each event: it has no environment of its own to give.
in_emulator() {
  local rie answer
  rie=$(echo "$folder"/venv/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64)
  chmod +x "$rie"
  python3 - "$folder/env.json" "$folder/built/$1/bootstrap" "$rie" >"$folder/rie.sh" <<'PYTHON'
import json, shlex, sys
env, bootstrap, rie = sys.argv[1:]
variables = json.load(open(env))["Parameters"]
for name, value in variables.items():
    print(f"export {name}={shlex.quote(value)}")
print("export AWS_LAMBDA_FUNCTION_TIMEOUT=60")
print(f"exec {shlex.quote(rie)} --runtime-interface-emulator-address 127.0.0.1:8085 --runtime-api-address 127.0.0.1:8086 {shlex.quote(bootstrap)}")
PYTHON
  bash "$folder/rie.sh" >>"$folder/invoke.log" 2>&1 &
  local emulator=$!
  answer=$(curl --silent --show-error --retry 50 --retry-connrefused --retry-delay 1 --data-binary "@$2" \
    http://127.0.0.1:8085/2015-03-31/functions/function/invocations)
  kill "$emulator" 2>/dev/null || true
  wait "$emulator" 2>/dev/null || true
  echo "$answer"
}

check_answers() {
  local function event status part answer
  while IFS=$'\t' read -r function event status part; do
    answer=$("$1" "$function" "$root/events/$event.json") || true
    if ! "$folder/venv/bin/python" "$root/tests/sam/answer.py" "$event" "$status" "$part" "$answer"; then
      tail -n 20 "$folder/invoke.log"
      return 1
    fi
  done <"$root/events/expected.tsv"
}

# One event for each route that is not asked for its state: these were answered before.
through_the_api() {
  sam local start-api --port 0 --env-vars "$folder/env.json" --template "$folder/built/template.yaml" \
    --skip-pull-image --parameter-overrides Architecture=x86_64 >"$folder/api.log" 2>&1 &
  background+=($!)
  until grep -q 'Running on' "$folder/api.log"; do
    kill -0 "${background[-1]}" # ends the script where it has ended
  done
  local api
  api=$(sed -n 's|.*Running on \(http://[^ ]*\).*|\1|p' "$folder/api.log")
  python3 "$root/tests/sam/api.py" "$api" inbound-webhook-system-message taskrouter-events-workflow-timeout \
    outbound-participant-bad webchat-token-init webchat-token-preflight webchat-token-forged ||
    { tail -n 20 "$folder/api.log"; return 1; }
}

build
packages
if engine && image; then
  start_dev
  echo "sam local invoke, in containers:"
  check_answers in_container
  echo "sam local start-api:"
  through_the_api
else
  echo "NO DOCKER ENGINE COULD BE STARTED: sam local was not run; the packages run under SAM's own emulator instead"
  address=127.0.0.1
  start_dev
  check_answers in_emulator
fi
