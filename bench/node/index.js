// The job of inbound-webhook's first message: verify, claim, create the Interaction, record it.
// Written as the documentation of Twilio and of the AWS SDK shows it: clients outside the handler, kept alive.
"use strict";

const { DynamoDBClient, PutItemCommand, UpdateItemCommand } = require("@aws-sdk/client-dynamodb");
const { GetSecretValueCommand, SecretsManagerClient } = require("@aws-sdk/client-secrets-manager");
const twilio = require("twilio");

const { env } = process;
const dynamo = new DynamoDBClient({});
const secrets = new SecretsManagerClient({});

// Fetched once, while the function starts.
const ready = secrets.send(new GetSecretValueCommand({ SecretId: env.TWILIO_SECRET_ARN })).then((found) => {
  const { auth_token: token } = JSON.parse(found.SecretString);
  const client = twilio(env.TWILIO_ACCOUNT_SID, token);
  client.flexApi.baseUrl = env.TWILIO_FLEX_API_URL;
  return { client, token };
});

const answer = (statusCode, body) => ({
  statusCode,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

exports.handler = async (event) => {
  const body = Buffer.from(event.body, event.isBase64Encoded ? "base64" : "utf8").toString();
  const params = Object.fromEntries(new URLSearchParams(body));
  const { client, token } = await ready;
  const url = env.PUBLIC_BASE_URL + event.rawPath;
  if (!twilio.validateRequest(token, event.headers["x-twilio-signature"], url, params)) {
    return answer(403, { error: "refused" });
  }
  if (params.EventType !== "onMessageAdded") return answer(200, { outcome: "ignored" });
  const sid = params.ConversationSid;
  const key = { pk: { S: `conversation#${sid}` }, sk: { S: "record" } };
  try {
    await dynamo.send(
      new PutItemCommand({
        TableName: env.TABLE_NAME,
        Item: { ...key, stage: { S: "claimed" }, claimed_at: { N: String(Date.now()) } },
        ConditionExpression: "attribute_not_exists(pk)",
      }),
    );
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") return answer(200, { outcome: "already_open" });
    throw error;
  }
  const interaction = await client.flexApi.v1.interaction.create({
    channel: { type: "sms", initiated_by: "customer", properties: { media_channel_sid: sid } },
    routing: {
      properties: {
        workspace_sid: env.FLEX_WORKSPACE_SID,
        workflow_sid: env.FLEX_WORKFLOW_SID,
        task_channel_unique_name: "chat",
        attributes: { channelType: "sms", customerAddress: params.Author, from: params.Author },
      },
    },
  });
  await dynamo.send(
    new UpdateItemCommand({
      TableName: env.TABLE_NAME,
      Key: key,
      UpdateExpression: "SET stage = :open, interaction_sid = :sid",
      ExpressionAttributeValues: { ":open": { S: "open" }, ":sid": { S: interaction.sid } },
    }),
  );
  console.log(JSON.stringify({ level: "info", message: "created", conversation_sid: sid }));
  return answer(200, { outcome: "created", interaction_sid: interaction.sid, conversation_sid: sid });
};
