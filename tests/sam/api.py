"""Sends events as the HTTP requests that they are of to `sam local start-api`, which has the template's routes, and
compares the answers with what `events/expected.tsv` says."""

import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

EVENTS = Path(__file__).resolve().parents[2] / "events"
# The front end's own, and what the client sets by itself.
NOT_SENT = ("x-amzn-", "x-forwarded-", "host", "content-length")

base, *names = sys.argv[1:]
lines = (line.split("\t") for line in (EVENTS / "expected.tsv").read_text().splitlines())
expected = {name: (int(status), part) for _, name, status, part in lines if status != "-"}
for name in names:
    event = json.loads((EVENTS / f"{name}.json").read_text())
    body = event.get("body", "")
    request = urllib.request.Request(
        base + event["rawPath"],
        method=event["requestContext"]["http"]["method"],
        data=base64.b64decode(body) if event["isBase64Encoded"] else body.encode(),
        headers={key: value for key, value in event["headers"].items() if not key.startswith(NOT_SENT)},
    )
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as refused:
        answer = refused
    status, part = expected[name]
    said = answer.read().decode()
    if answer.status != status or part not in said:
        sys.exit(f"{name}: expected {status} {part}, got {answer.status} {said}")
    print(f"  {name}: {status} {part}")
