// Calls the README's code as a Flex plugin would, against the `flexglue dev` whose introduction is in the file that
// is named.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { reachOut } from "./reach-out.js";

const introduction = readFileSync(process.argv[2], "utf8");
const [, baseUrl] = introduction.match(/functions +(http:\/\/[^/\s]+)/);
const [, token] = introduction.match(/X-Flex-Token: ([^']+)'/);
const reach = {
  to: "+15551230001",
  from: "+15557770000",
  channel: "sms",
  worker_sid: "WK0000000000000000000000000000000a",
  queue_sid: "WQ00000000000000000000000000000001",
  message: { body: "Hello" },
};

const first = await reachOut(baseUrl, token, reach);
assert.equal(first.status, "open");
assert.match(first.task_sid, /^WT/);

const second = await reachOut(baseUrl, token, reach);
assert.equal(second.status, "refused");
assert.equal(second.error, "participant_in_conversation");
assert.equal(second.conversation_sid, first.conversation_sid);

const joined = await reachOut(baseUrl, token, { ...reach, on_conflict: "join" });
assert.equal(joined.status, "open");
assert.equal(joined.conversation_sid, first.conversation_sid);

const wrong = await reachOut(baseUrl, token, { ...reach, to: "555" });
assert.equal(wrong.error, "invalid");
assert.deepEqual(Object.keys(wrong.fields), ["to"]);

const other = await reachOut(baseUrl, token, { ...reach, worker_sid: "WK0000000000000000000000000000000b" });
assert.equal(other.error, "forbidden");

console.log("the plugin's code reaches out, is refused, joins");
