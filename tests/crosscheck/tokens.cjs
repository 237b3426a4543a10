// Makes access tokens with Twilio's library for Node, or reads ours with the one that it uses.
//
//   node tokens.cjs make FILE    for each line that Python made, the same token by Node, on standard output
//   node tokens.cjs check FILE   reads tokens that flexglue made, and compares every claim
const { readFileSync } = require("node:fs");
const assert = require("node:assert").strict;
const { AccessToken } = require("twilio").jwt;
const jsonwebtoken = require("jsonwebtoken");

const [, , what, file] = process.argv;
const lines = readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
if (what === "make") {
  for (const line of lines) {
    const options = { identity: line.identity, ttl: 3600 };
    if (line.region) options.region = line.region;
    const token = new AccessToken(line.account, line.key, line.secret, options);
    token.addGrant(new AccessToken.ChatGrant({ serviceSid: line.service }));
    const jwt = token.toJwt();
    console.log(JSON.stringify({ ...line, token: jwt, until: jsonwebtoken.decode(jwt).exp }));
  }
} else {
  for (const line of lines) {
    // Ours were made for the moment at which theirs end.
    const anyTime = { ignoreExpiration: true, ignoreNotBefore: true };
    const { header, payload } =
      jsonwebtoken.verify(line.token, line.secret, { algorithms: ["HS256"], complete: true, ...anyTime });
    assert.equal(payload.iss, line.key);
    assert.equal(payload.sub, line.account);
    assert.equal(payload.exp, line.until);
    assert.deepEqual(payload.grants, { identity: line.identity, chat: { service_sid: line.service } });
    assert.equal(header.twr ?? null, line.region);
    assert.equal(header.cty, "twilio-fpa;v=1");
  }
  assert.ok(lines.length > 0);
  console.log(`Node agrees with ${lines.length} of ours`);
}
