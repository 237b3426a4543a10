"""The job of inbound-webhook's first message: verify, claim, create the Interaction, record it.

Written as the documentation of Twilio and of the AWS SDK shows it: clients outside the handler.
"""

import base64
import json
import os
import time
from urllib.parse import parse_qsl

import boto3
from twilio.request_validator import RequestValidator
from twilio.rest import Client

dynamo = boto3.client("dynamodb")
secret = json.loads(
    boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["TWILIO_SECRET_ARN"])["SecretString"]
)
validator = RequestValidator(secret["auth_token"])
client = Client(os.environ["TWILIO_ACCOUNT_SID"], secret["auth_token"])
client.flex_api.base_url = os.environ["TWILIO_FLEX_API_URL"]
table = os.environ["TABLE_NAME"]


def answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}


def handler(event, _context):
    body = event["body"]
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    params = dict(parse_qsl(body, keep_blank_values=True))
    url = os.environ["PUBLIC_BASE_URL"] + event["rawPath"]
    if not validator.validate(url, params, event["headers"].get("x-twilio-signature", "")):
        return answer(403, {"error": "refused"})
    if params.get("EventType") != "onMessageAdded":
        return answer(200, {"outcome": "ignored"})
    sid = params["ConversationSid"]
    key = {"pk": {"S": f"conversation#{sid}"}, "sk": {"S": "record"}}
    try:
        dynamo.put_item(
            TableName=table,
            Item={**key, "stage": {"S": "claimed"}, "claimed_at": {"N": str(int(time.time() * 1000))}},
            ConditionExpression="attribute_not_exists(pk)",
        )
    except dynamo.exceptions.ConditionalCheckFailedException:
        return answer(200, {"outcome": "already_open"})
    interaction = client.flex_api.v1.interaction.create(
        channel={"type": "sms", "initiated_by": "customer", "properties": {"media_channel_sid": sid}},
        routing={
            "properties": {
                "workspace_sid": os.environ["FLEX_WORKSPACE_SID"],
                "workflow_sid": os.environ["FLEX_WORKFLOW_SID"],
                "task_channel_unique_name": "chat",
                "attributes": {
                    "channelType": "sms",
                    "customerAddress": params.get("Author"),
                    "from": params.get("Author"),
                },
            }
        },
    )
    dynamo.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET stage = :open, interaction_sid = :sid",
        ExpressionAttributeValues={":open": {"S": "open"}, ":sid": {"S": interaction.sid}},
    )
    print(json.dumps({"level": "info", "message": "created", "conversation_sid": sid}))
    return answer(200, {"outcome": "created", "interaction_sid": interaction.sid, "conversation_sid": sid})
