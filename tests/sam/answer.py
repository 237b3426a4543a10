"""Compares what a function answered to an event with what `events/expected.tsv` says."""

import json
import sys

event, status, part, answer = sys.argv[1:]
try:
    said = json.loads(answer)
except ValueError:
    sys.exit(f"{event}: no answer")
# What is no HTTP answer is a sweeper's report.
body = said.get("body") if "statusCode" in said else json.dumps(said, separators=(",", ":"))
if str(said.get("statusCode", "-")) != status or part not in body:
    sys.exit(f"{event}: expected {status} {part}, got {answer}")
print(f"  {event}: {status} {part}")
