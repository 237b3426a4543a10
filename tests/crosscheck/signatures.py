"""Writes COUNT random requests, signed by Twilio's Python library, as JSON lines: signatures.py COUNT SEED.

A line holds token, url, type (form or json), body, signature, and who accepts it: "python" is false for the
one case in which the libraries differ on URLs, a query with ' in it that was signed as %27. Node's takes that.
"""

import json
import random
import sys
from urllib.parse import quote, quote_plus

from twilio.request_validator import RequestValidator

WORDS = ["", "a", "Body", "Sid", "SidAccount", "+15551230001", "whatsapp:+4915", "x y", " x ", "a&b=c", "100%",
         "é", "Ünïcode", "日本語", "😀", "\uff46", "it's", "\"q\"", "{\"a\": [1]}", "line\nbreak", "+", "%2B", "~._-*"]
NAMES = ["EventType", "AccountSid", "Body", "Author", "From", "To", "Sid", "SidAccount", "Reason",
         "ReasonConferenceEnded", "MessagingBinding.Address", "a", "B", "b", "é", "with space", "日本"]
QUERIES = ["", "foo=1", "foo=1&bar=2", "b=2&a=1&b=1", "a=", "flag", "x=%2F%2f", "q=a+b%20c", "u=https://x/?y",
           "e=%C3%A9%e2%82%ac", "q=it's", "semi=1;2", "a=1&&b=2"]
HOSTS = ["hooks.example", "a.b-c.example", "localhost", "192.0.2.7"]
PATHS = ["/", "/webhooks/conversations", "/webhooks/conversations/", "/prod/x", "/a%20b/%C3%A9", "/x.php"]


class Pairs(list):
    """A form with repeated names, as the library takes it from web frameworks."""

    def __iter__(self):
        return iter([name for name, _ in super().__iter__()])

    def getall(self, name):
        return [value for key, value in super().__iter__() if key == name]

    def items(self):
        return super().__iter__()


def encode(pick, text):
    """One of the ways in which a form may write a text."""
    way = pick.randrange(4)
    if way == 0:
        return quote(text, safe="")
    if way == 1:
        return quote(text, safe="").replace("%C3", "%c3").replace("%2B", "%2b")
    if way == 2:
        return quote_plus(text, safe="*")
    return quote_plus(text, safe=":/@!$'(),;")


def request(pick):
    scheme = pick.choice(["https", "https", "https", "http"])
    default = {"https": "443", "http": "80"}[scheme]
    host, path, query = pick.choice(HOSTS), pick.choice(PATHS), pick.choice(QUERIES)
    port = pick.choice(["", "", "", default, "8443"])

    kind = pick.choice(["form", "form", "json"])
    if kind == "form":
        fields = Pairs((pick.choice(NAMES), pick.choice(WORDS)) for _ in range(pick.randrange(0, 9)))
        if pick.random() < 0.05:
            # What the libraries for Python and Node sort differently: see signatures.cjs.
            fields.extend([("Body", "😀"), ("Body", "\uff46")])
        body = "&".join(f"{encode(pick, name)}={encode(pick, value)}" for name, value in fields.items())
        given = fields
    else:
        fields = {pick.choice(NAMES): pick.choice([pick.choice(WORDS), 7, None, {"a": ["b"]}]) for _ in range(4)}
        body = json.dumps({"conversation": fields} if pick.random() < 0.5 else fields,
                          ensure_ascii=pick.random() < 0.5)
        given = body

    token = "".join(pick.choice("0123456789abcdef-é") for _ in range(pick.choice([5, 32, 32, 64, 65, 100])))
    validator = RequestValidator(token)
    if kind == "json":
        query += ("&" if query else "") + "bodySHA256=" + validator.compute_hash(body)
        fields = {}

    rest = path + ("?" + query if query else "")
    url = f"{scheme}://{host}{':' + port if port else ''}{rest}"
    other = f"{scheme}://{host}{'' if port else ':' + default}{rest}"
    signed = pick.choice([url, url, other])
    escaped = "'" in query and pick.random() < 0.3
    if escaped:
        signed = signed.replace("'", "%27")
    signature = validator.compute_signature(signed, fields)
    if validator.validate(url, given, signature) is escaped:
        raise SystemExit(f"the library does not do what this script believes: {url}")
    return {"token": token, "url": url, "type": kind, "body": body, "signature": signature, "python": not escaped}


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    pick = random.Random(seed)
    for _ in range(count):
        print(json.dumps(request(pick)))


main()
