// Gives Twilio's own Conversations SDK one of our tokens, and something that is none.
//
// The SDK reads nothing in a token: it refuses an empty one, and sends any other as it is in the first packet on its
// WebSocket, for Twilio to check. So its socket is led to a server of ours, which understands that one packet and has
// the simulated Twilio check the token. That the real Twilio takes it cannot be shown without an account.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import conversationsSdk from "@twilio/conversations";
import { WebSocketServer } from "ws";
import { functions, holds, readWith, site } from "./webchat_dev.mjs";

const { Client } = conversationsSdk;

const begun = await fetch(`${functions}/initWebchat`, {
  method: "POST",
  headers: { "Content-Type": "application/json", Origin: site },
  body: JSON.stringify({ formData: { friendlyName: "Ada" } }),
});
assert.equal(begun.status, 200);
const { token, conversationSid } = await begun.json();

// A packet is `TWILSOCK V3.0 <length of the header>`, the header in JSON and a payload, on lines of their own.
const header = (packet) => JSON.parse(packet.toString().split("\r\n")[1]);
const packet = (header) => Buffer.from(`TWILSOCK V3.0 ${header.length}\r\n${header}\r\n`);

const received = [];
const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
server.on("connection", (socket) =>
  socket.on("message", async (sent) => {
    const { method, id, token } = header(sent);
    if (method !== "init") return;
    received.push(token);
    const answer = await readWith(token, conversationSid);
    const status = answer.ok
      ? { code: 200, status: "OK" }
      : { code: answer.status, status: "UNAUTHORIZED", errorCode: (await answer.json()).code };
    socket.send(packet(JSON.stringify({ method: "reply", id, status, payload_size: 0, capabilities: [] })));
  }),
);
await once(server, "listening");
const socket = { twilsock: { uri: `ws://127.0.0.1:${server.address().port}` } };

/** What becomes of the SDK's connection with a token. */
function connection(token) {
  const client = new Client(token, socket);
  return new Promise((resolve) => {
    client.on("connectionStateChanged", (state) => state === "connected" && resolve({ state }));
    client.on("connectionError", (error) => resolve({ state: client.connectionState, ...error }));
  });
}

console.log(`Twilio's Conversations SDK ${Client.version}:`);
assert.throws(() => new Client("", socket));
assert.throws(() => new Client(undefined, socket));
assert.deepEqual(await connection(token), { state: "connected" });
assert.deepEqual(received, [token]);
holds("takes our token, hands it over unchanged, and is connected once Twilio (simulated) has checked it");

const denied = await connection("garbage");
assert.deepEqual([denied.state, denied.terminal, denied.errorCode], ["denied", true, 20101]);
holds("checks nothing of a token itself but that there is one: with garbage it got as far, and was denied there");

// The SDK would go on asking for what the server does not understand, and cannot be stopped before it has all of it.
process.exit(0);
