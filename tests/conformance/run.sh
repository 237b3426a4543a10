#!/usr/bin/env bash
# Asks moto, an engine that shares no code with the embedded one, the questions of conformance.rs.
#
#   tests/conformance/run.sh [FOLDER]
#
# Installs moto into FOLDER (a temporary one if none is given) and runs it on a free port of the loopback
# interface for as long as the test takes.
set -euo pipefail

readonly moto_version=5.2.5

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
server=
remove=
cleanup() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  if [[ -n $remove ]]; then rm -rf "$remove"; fi
}
trap cleanup EXIT

if [[ $# -gt 0 ]]; then
  folder=$1
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
else
  folder=$(mktemp -d)
  remove=$folder
fi

echo "installing moto $moto_version"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$moto_version"

# The system picks a free port; between here and moto's own bind nothing else asks for one in particular.
port=$("$folder/venv/bin/python" -c '
import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])')
log=$folder/moto.log
"$folder/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$log" 2>&1 &
server=$!

# curl waits for the port and for nothing else; a server that died is told apart by its process.
for _ in $(seq 120); do
  if curl --silent --fail --noproxy '*' --output /dev/null "http://127.0.0.1:$port/moto-api/"; then
    ready=yes
    break
  fi
  if ! kill -0 "$server" 2>/dev/null; then break; fi
  sleep 0.5
done
if [[ -z ${ready:-} ]]; then
  echo "moto did not answer on port $port; it wrote:" >&2
  cat "$log" >&2
  exit 1
fi

echo "asking moto on port $port"
cd "$root"
FLEXGLUE_SECOND_DYNAMODB=http://127.0.0.1:$port cargo test --package flexglue-tests --test conformance
