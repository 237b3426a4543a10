#!/usr/bin/env bash
# Compares everything that our code can ask Twilio, and what the simulated one answers, with Twilio's OpenAPI.
#
#   tests/openapi/run.sh [FOLDER]
#
# Installs the specification and a JSON schema validator into FOLDER (a temporary one if none is given) and has
# main.rs record what check.py judges. Needs npm and python3 with venv; where there is no npm it says so and is done.
set -euo pipefail

readonly specification_version=9.0.0
readonly requirements=(jsonschema==4.25.1 rfc3339-validator==0.1.4 rfc3986-validator==0.1.1)

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if ! command -v npm >/dev/null; then
  echo "no npm: Twilio's OpenAPI cannot be had, NOTHING WAS COMPARED"
  exit 0
fi
if [[ $# -gt 0 ]]; then
  folder=$1
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi

echo "installing Twilio's OpenAPI of @twilio/cli-core $specification_version and ${requirements[0]}"
(cd "$folder" && npm pack --silent "@twilio/cli-core@$specification_version" >/dev/null)
tar -xzf "$folder/twilio-cli-core-$specification_version.tgz" -C "$folder" package/src/services/twilio-api
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${requirements[@]}"

echo "recording"
exchanges=$folder/exchanges.jsonl
rm -f "$exchanges"
cd "$root"
# Of the whole workspace, as the tests build it, so that nothing is built twice with other features.
FLEXGLUE_RECORDED_EXCHANGES=$exchanges cargo test --quiet --workspace --test openapi

echo "comparing"
"$folder/venv/bin/python" "$here/check.py" "$folder/package/src/services/twilio-api" "$exchanges"
