// The `flexglue dev` whose log is the first argument: its addresses, and its simulated Twilio as the account sees it.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

export const log = () => readFileSync(process.argv[2], "utf8");

const introduction = log();
const named = (line) => introduction.match(line)[1];
export const functions = named(/functions +(http:\/\/[^/\s]+)/);
export const twilio = named(/simulated Twilio +(http:\/\/\S+)/);
export const site = named(/web chat +(http:\/\/[^/\s]+)/);
const login = named(/curl -u (\S+)/);

async function list(path, name) {
  const answer = await fetch(twilio + path, { headers: { Authorization: `Basic ${btoa(login)}` } });
  assert.equal(answer.status, 200, path);
  return name ? (await answer.json())[name] : answer.json();
}

export const conversation = (sid) => list(`/v1/Conversations/${sid}`);
export const conversations = () => list("/v1/Conversations?PageSize=100", "conversations");
export const messages = (sid) => list(`/v1/Conversations/${sid}/Messages`, "messages");

export function tasks(sid) {
  const query = encodeURIComponent(`conversationSid == "${sid}"`);
  const workspace = "WS00000000000000000000000000000005";
  return list(`/v1/Workspaces/${workspace}/Tasks?EvaluateTaskAttributes=${query}`, "tasks");
}

/** How the simulated Twilio answers who reads a conversation with a token. */
export function readWith(token, sid) {
  return fetch(`${twilio}/v1/Conversations/${sid}`, { headers: { Authorization: `Bearer ${token}` } });
}

/** Asks again until the answer is as it should be. */
export async function eventually(ask, isSo) {
  for (;;) {
    const answer = await ask();
    if (isSo(answer)) return answer;
    await setImmediate();
  }
}

export function holds(what) {
  console.log(`  ${what}`);
}
