// Has a customer chat on the page of the `flexglue dev` whose log is named, in the Chromium that is named.
import { strict as assert } from "node:assert";
import { chromium } from "playwright-core";
import * as dev from "./webchat_dev.mjs";
import { eventually, functions, holds, site } from "./webchat_dev.mjs";

const STORED = "TWILIO_WEBCHAT_WIDGET";
const foreignSite = site.replace("127.0.0.1", "localhost");

// Chromium would otherwise look for its maker's hosts, where there may be no network.
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"];
const browser = await chromium.launch({ executablePath: process.argv[3], args: [...quiet, "--disable-sync"] });

/** A browser of its own, perhaps with what an earlier one had stored. Notes what its page asks for. */
async function visitor(storageState) {
  const context = await browser.newContext({ storageState });
  const page = await context.newPage();
  const asked = [];
  page.on("request", (request) => asked.push(request));
  // Playwright does not tell of preflights, nor of answers that the page may not read; Chromium does, in two halves.
  const requests = new Map();
  const answers = [];
  const network = await context.newCDPSession(page);
  network.on("Network.requestWillBeSent", ({ requestId, request }) => requests.set(requestId, request));
  network.on("Network.responseReceivedExtraInfo", (answer) => answers.push(answer));
  await network.send("Network.enable");
  const answered = (method, route) =>
    answers.filter(({ requestId }) => {
      const request = requests.get(requestId);
      return request?.method === method && request.url === functions + route;
    });
  return {
    context,
    page,
    asked: (route) => asked.filter((request) => request.url() === functions + route).length,
    asksTwilioWith: (token) =>
      asked.filter((request) => request.headers().authorization === `Bearer ${token}`).length,
    answered,
    lines: page.getByRole("log").getByRole("listitem"),
    notice: page.getByRole("alert"),
    click: (name) => page.getByRole("button", { name }).click(),
    stored: () => page.evaluate((name) => JSON.parse(localStorage.getItem(name)), STORED),
    /** A request by the page itself: its status, or the name of the error. */
    fetches: (route, type, body) =>
      page.evaluate(
        ([url, type, body]) =>
          fetch(url, { method: "POST", headers: { "Content-Type": type }, body }).then(
            (answer) => answer.status,
            (error) => error.name,
          ),
        [functions + route, type, JSON.stringify(body)],
      ),
  };
}

async function begin(visitor, query) {
  await visitor.page.getByLabel("Name").fill("Ada");
  await visitor.page.getByLabel("E-mail").fill("ada@example.com");
  await visitor.page.getByLabel("How can we help?").fill(query);
  await visitor.click("Start chat");
}

const line = (visitor, text) => visitor.lines.filter({ hasText: text }).waitFor();

console.log(`Chromium ${browser.version()}, on ${site}:`);
const ada = await visitor();
await ada.page.goto(site);
await begin(ada, "Where is my order?");
await line(ada, "Where is my order?");
const first = await ada.stored();
assert.deepEqual(Object.keys(first).sort(), ["conversationSid", "expiration", "identity", "token"]);
assert.deepEqual(await ada.lines.allTextContents(), ["YouWhere is my order?"]);
holds("a chat begins, and its first message is the query");

const [preflight, ...more] = ada.answered("OPTIONS", "/initWebchat");
assert.equal(more.length, 0);
assert.equal(preflight.statusCode, 204);
assert.equal(preflight.headers["access-control-allow-origin"], site);
assert.equal(preflight.headers["access-control-max-age"], "600");
holds("Chromium asked first, was told that this origin may, and for how long");

const sid = first.conversationSid;
const tasks = await eventually(() => dev.tasks(sid), (tasks) => tasks.length > 0);
assert.equal(tasks.length, 1);
holds("a task came of it");

await ada.page.getByLabel("Message").fill("It was a teapot.");
await ada.click("Send");
await line(ada, "It was a teapot.");
const authors = (await dev.messages(sid)).map((message) => message.author);
assert.deepEqual(authors, [first.identity, first.identity]);
holds("the customer writes with their token, and sees it");

await ada.page.reload();
await line(ada, "It was a teapot.");
assert.equal(await ada.lines.count(), 2);
assert.equal(ada.asked("/initWebchat"), 1);
assert.deepEqual(await ada.stored(), first);
holds("a reload resumes the chat from what is stored, and begins none");

// Time stands still in this browser but for where the test moves it.
const later = await visitor(await ada.context.storageState());
await later.page.clock.install();
await later.page.clock.pauseAt(Date.now() + 1000);
await later.page.goto(site);
await line(later, "It was a teapot.");
assert.equal(later.asked("/refreshToken"), 0);
const aboutToExpire = first.expiration - 3 * 60 * 1000 - (await later.page.evaluate(() => Date.now()));
const refreshed = later.page.waitForResponse(`${functions}/refreshToken`);
await later.page.clock.fastForward(aboutToExpire);
assert.equal((await refreshed).status(), 200);
const second = await eventually(later.stored, (stored) => stored.token !== first.token);
assert.deepEqual({ ...second, token: first.token, expiration: first.expiration }, first);
// Back to the functions' time, or the next token were about to expire as well. Then some more seconds.
await later.page.clock.setSystemTime(Date.now());
await eventually(
  () => later.page.clock.runFor(1000).then(() => later.asksTwilioWith(second.token)),
  (asked) => asked > 5,
);
assert.equal(later.asked("/refreshToken"), 1);
assert.equal((await dev.readWith(second.token, sid)).status, 200);
assert.equal(await later.notice.textContent(), "");
holds("three minutes before its end a token is refreshed, once; the rest stays; Twilio takes the new one");

const ended = later.page.waitForResponse(`${functions}/endChat`);
await later.click("End chat");
assert.equal((await ended).status(), 204);
await later.page.getByText("You have ended the chat.").waitFor();
assert.equal(await later.stored(), null);
await eventually(() => dev.conversation(sid), (conversation) => conversation.state === "closed");
holds("the customer ends the chat: it is closed, and nothing stays stored");

await ada.page.getByText("This chat is over.").waitFor();
assert.equal(await ada.stored(), null);
for (const { token } of [first, second]) {
  assert.equal(await ada.fetches("/refreshToken", "application/json", { token }), 403);
}
holds("their other browser is told, and neither token is good for another");

const accepted = dev.log().split("\n").filter((line) => line.includes("Interaction accepted") && line.includes(sid));
assert.equal(accepted.length, 1);
holds("all the while there was exactly one Interaction");

console.log(`On ${foreignSite}:`);
const mallory = await visitor();
await mallory.page.goto(foreignSite);
const before = (await dev.conversations()).length;
await begin(mallory, "Let me in");
await mallory.notice.filter({ hasText: "Blocked by the browser" }).waitFor();
const [refused] = mallory.answered("OPTIONS", "/initWebchat");
assert.equal(refused.statusCode, 403);
assert.equal(refused.headers["access-control-allow-origin"], undefined);
assert.equal(await mallory.fetches("/initWebchat", "application/json", {}), "TypeError");
assert.equal(await mallory.stored(), null);
holds("Chromium asked first, was refused, and blocked the call");

assert.equal(await mallory.fetches("/initWebchat", "text/plain", { formData: {} }), "TypeError");
const [simple] = await eventually(() => mallory.answered("POST", "/initWebchat"), (answers) => answers.length > 0);
assert.equal(simple.statusCode, 403);
holds("a call for which no browser asks first is refused, and cannot be read");

assert.equal((await dev.conversations()).length, before);
holds("no conversation came of any of it");

console.log(`On ${site}, too often:`);
await eventually(() => ada.fetches("/initWebchat", "application/json", {}), (status) => status === 429);
await begin(ada, "Hello");
await ada.notice.filter({ hasText: /^429 .*Try again in \d+ s\.$/ }).waitFor();
holds("the customer is told when to try again");

await browser.close();
