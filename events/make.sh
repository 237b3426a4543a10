#!/usr/bin/env bash
# Makes the events of this folder with `flexglue sign`, for the account of `flexglue dev`. A test makes them again and
# compares.
#
#   events/make.sh FLEXGLUE FOLDER
set -euo pipefail

flexglue=$1
folder=$2
base=https://flexglue.example
export TWILIO_AUTH_TOKEN=0123456789abcdef0123456789abcdef # of the simulated account
account=AC000000000000000000000000000000ac
service=IS00000000000000000000000000000015
workspace=WS00000000000000000000000000000005
conversation=CH00000000000000000000000000000001
key='Authorization: Bearer local-back-end'
site='Origin: https://shop.example'

make() {
  local name=$1
  shift
  "$flexglue" sign "$@" >"$folder/$name.json"
}

conversations() {
  make "inbound-webhook-$1" "$base/webhooks/conversations" \
    "AccountSid=$account&InstanceSid=$service&ConversationSid=$conversation&$2" "${@:3}"
}
message="EventType=onMessageAdded&MessageSid=IM00000000000000000000000000000001&Body=Hello&Source=SMS&Index=0"
conversations first-message "$message&Author=%2B15551230001"
conversations system-message "$message&Author=Concierge"
conversations closed "EventType=onConversationStateUpdated&StateFrom=active&StateTo=closed&Reason=TIMER"
conversations forged "$message&Author=%2B15551230001" --token another-token

attributes=$(printf '%s' "%7B%22flexInteractionSid%22%3A%22KD00000000000000000000000000000001%22%2C%22flexInteraction" \
  "ChannelSid%22%3A%22UO00000000000000000000000000000001%22%2C%22conversationSid%22%3A%22$conversation%22%7D")
make taskrouter-events-workflow-timeout "$base/webhooks/taskrouter" \
  "EventType=workflow.timeout&AccountSid=$account&WorkspaceSid=$workspace&TaskSid=WT00000000000000000000000000000001&TimestampMs=1800000000000&TaskAttributes=$attributes"

reach() {
  make "outbound-participant-$1" "$base/outbound" "$2" --unsigned --header 'Idempotency-Key: 1' "${@:3}"
}
agent='{"to": "+15551230002", "from": "+15557770000", "channel": "sms", "initiated_by": "agent",
  "worker_sid": "WK0000000000000000000000000000000a", "queue_sid": "WQ00000000000000000000000000000001",
  "message": {"body": "Hello, about your order"}}'
reach agent "$agent" --header "$key"
reach without-key "$agent"
reach bad '{"to": "555"}' --header "$key"

make webchat-token-init "$base/initWebchat" --unsigned --header "$site" \
  '{"formData": {"friendlyName": "Ada", "query": "Where is my order?"}}'
make webchat-token-foreign "$base/initWebchat" --unsigned --header 'Origin: https://evil.example' '{"formData": {}}'
make webchat-token-preflight "$base/initWebchat" --unsigned --method OPTIONS --header "$site" \
  --header 'Access-Control-Request-Method: POST' ''
make webchat-token-forged "$base/refreshToken" --unsigned --header "$site" '{"token": "eyJhbGciOiJub25lIn0.e30."}'

# What EventBridge sends, and what a person sends by hand.
cat >"$folder/orphan-sweeper-schedule.json" <<'JSON'
{
  "version": "0",
  "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
  "detail-type": "Scheduled Event",
  "source": "aws.events",
  "account": "123456789012",
  "time": "2027-01-15T08:00:00Z",
  "region": "us-east-1",
  "resources": ["arn:aws:events:us-east-1:123456789012:rule/flexglue-OrphanSweeperEveryMinute"],
  "detail": {}
}
JSON
echo '{"dry_run": true}' >"$folder/orphan-sweeper-dry-run.json"
