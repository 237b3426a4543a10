// Asks Twilio's Node library about the requests that its Python library has signed: signatures.cjs FILE.
//
// The two differ in one thing: Node sorts by UTF-16 unit, Python by code point. The orders part where a
// character beyond U+FFFF meets one from U+E000 to U+FFFF. We follow Python: code point order is byte order in
// UTF-8, which is what Twilio's rule (sort in byte order) says.
"use strict";
const fs = require("node:fs");
const querystring = require("node:querystring");
const twilio = require("twilio");

const byteOrder = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const ordersPart = (texts) => String([...texts].sort()) !== String([...texts].sort(byteOrder));

let agreed = 0;
let sortedOtherwise = 0;
for (const line of fs.readFileSync(process.argv[2], "utf8").trim().split("\n")) {
  const { token, url, type, body, signature } = JSON.parse(line);
  const params = type === "form" ? { ...querystring.parse(body) } : {};
  const valid =
    type === "form"
      ? twilio.validateRequest(token, signature, url, params)
      : twilio.validateRequestWithBody(token, signature, url, body);
  if (valid) {
    agreed += 1;
  } else if ([Object.keys(params), ...Object.values(params).filter(Array.isArray)].some(ordersPart)) {
    sortedOtherwise += 1;
  } else {
    console.error(`Node's library refuses what Python's has signed: ${line}`);
    process.exit(1);
  }
}
console.log(`${agreed} agreed, ${sortedOtherwise} sorted otherwise by Node`);
