// The customer's side of a web chat. Towards the functions it does what twilio-webchat-react-app does: the same calls,
// fields and place of storage. Towards Twilio that app has the Conversations SDK, whose protocol only Twilio speaks;
// here the simulated Twilio is asked once a second instead.

const { serverUrl, twilioUrl } = document.body.dataset;
const STORED = "TWILIO_WEBCHAT_WIDGET";
const BEAT_MS = 1000;
// Twilio tells the SDK that a token is about to expire three minutes before it does.
const ABOUT_TO_EXPIRE_MS = 3 * 60 * 1000;
// What the functions and Twilio answer where a chat is not to be had any more.
const OVER = [401, 403, 404];

const [notice, start, chat, messages, write, end] = ["notice", "start", "chat", "messages", "write", "end"].map(
  (id) => document.getElementById(id),
);

/** The chat that goes on, as it is stored: `{token, conversationSid, identity, expiration}`. */
let session = null;
let lastIndex = -1;
/** The end of a token after which there is none. */
let lastExpiration = null;
let nextLook;

/** An answer that is no success. */
class Refused extends Error {
  constructor(answer, body) {
    const fields = Object.entries(body.fields ?? {}).map(([name, expected]) => `${name}: ${expected}`);
    super([body.detail ?? body.message ?? "", ...fields].join(" "));
    this.status = answer.status;
    this.retryAfter = Number(answer.headers.get("Retry-After")) || null;
  }
}

async function ask(url, options) {
  const answer = await fetch(url, options).catch(() => {
    throw new Error(`Blocked by the browser, or nobody answers: this page is ${location.origin}.`);
  });
  if (!answer.ok) throw new Refused(answer, await answer.json().catch(() => ({})));
  return answer.status === 204 ? null : answer.json();
}

function askFunctions(route, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return ask(serverUrl + route, { method: "POST", headers, body: JSON.stringify(body) });
}

function askTwilio(below, options = {}) {
  const headers = { Authorization: `Bearer ${session.token}` };
  return ask(`${twilioUrl}/v1/Conversations/${session.conversationSid}${below}`, { ...options, headers });
}

function tell(error) {
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  notice.textContent = `${error.status ?? ""} ${error.message}${wait}`.trim();
}

/** What is stored, if its token is still good. */
function stored() {
  try {
    const data = JSON.parse(localStorage.getItem(STORED));
    return data && Date.now() < data.expiration ? data : null;
  } catch {
    return null;
  }
}

function keep(data) {
  session = data;
  localStorage.setItem(STORED, JSON.stringify(data));
}

function enter(data) {
  keep(data);
  lastIndex = -1;
  messages.replaceChildren();
  notice.textContent = "";
  start.hidden = true;
  chat.hidden = false;
  look();
}

function leave(why) {
  clearTimeout(nextLook);
  session = null;
  localStorage.removeItem(STORED);
  notice.textContent = why;
  start.hidden = false;
  chat.hidden = true;
}

/** The answer to a refresh names neither conversation nor identity: those stay. */
async function refresh() {
  const renewed = await askFunctions("/refreshToken", { token: session.token });
  if (session) keep({ ...session, ...renewed });
}

function show(message) {
  if (message.index <= lastIndex) return;
  lastIndex = message.index;
  const author = document.createElement("span");
  author.textContent = message.author === session.identity ? "You" : message.author;
  const line = document.createElement("li");
  line.append(author, message.body ?? "");
  messages.append(line);
}

/** Looks what is new, and again after a beat, until the chat is over. */
async function look() {
  const looking = session.conversationSid;
  let wait = BEAT_MS;
  try {
    const { expiration } = session;
    if (expiration - Date.now() <= ABOUT_TO_EXPIRE_MS && expiration !== lastExpiration) {
      await refresh();
      // The chat's longest time is over then: no token outlives it.
      if (session?.expiration === expiration) lastExpiration = expiration;
    }
    const [conversation, newest] = await Promise.all([askTwilio(""), askTwilio("/Messages?Order=desc&PageSize=50")]);
    if (session?.conversationSid !== looking) return;
    newest.messages.reverse().forEach(show);
    if (conversation.state === "closed") return leave("This chat is over.");
  } catch (error) {
    if (session?.conversationSid !== looking) return;
    if (OVER.includes(error.status)) return leave(error.message);
    tell(error);
    wait = (error.retryAfter ?? 1) * 1000;
  }
  nextLook = setTimeout(look, wait);
}

/** Has a form's or a button's action done, one at a time, and its failure told. */
function does(element, event, action) {
  element.addEventListener(event, async (happened) => {
    happened.preventDefault();
    const button = element.querySelector("button") ?? element;
    button.disabled = true;
    notice.textContent = "";
    await action().catch(tell);
    button.disabled = false;
  });
}

does(start, "submit", async () => {
  const formData = Object.fromEntries(new FormData(start));
  enter(await askFunctions("/initWebchat", { formData }));
});

does(write, "submit", async () => {
  await askTwilio("/Messages", { method: "POST", body: new URLSearchParams({ Body: write.elements.body.value }) });
  write.reset();
});

does(end, "click", async () => {
  await askFunctions("/endChat", { token: session.token });
  leave("You have ended the chat.");
});

const resumed = stored();
if (resumed) enter(resumed);
else start.hidden = false;
