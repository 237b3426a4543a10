"""Makes access tokens with Twilio's library for Python, or reads ours with it.

    tokens.py make COUNT SEED      tokens as JSON lines on standard output
    tokens.py check FILE           reads tokens that flexglue made, and compares every claim
"""

import json
import random
import sys
import time

import jwt
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import ChatGrant


def sid(prefix, rng):
    return prefix + "".join(rng.choice("0123456789abcdef") for _ in range(32))


def make(count, seed):
    rng = random.Random(seed)
    for number in range(count):
        line = {
            "key": sid("SK", rng),
            "secret": "".join(rng.choice("abcXYZ019-_é") for _ in range(rng.randint(1, 80))),
            "account": sid("AC", rng),
            "service": sid("IS", rng),
            "identity": "".join(rng.choice("abcXYZ019-_.é \"\\/") for _ in range(rng.randint(1, 60))),
            "region": rng.choice([None, "ie1", "au1"]),
        }
        token = AccessToken(
            line["account"],
            line["key"],
            line["secret"],
            grants=[ChatGrant(service_sid=line["service"])],
            identity=line["identity"],
            ttl=rng.randint(60, 86400),
            nbf=int(time.time()),
            region=line["region"],
        )
        line["token"] = token.to_jwt()
        line["until"] = jwt.decode(line["token"], options={"verify_signature": False})["exp"]
        print(json.dumps(line))


def check(path):
    count = 0
    for text in open(path, encoding="utf-8"):
        line = json.loads(text)
        # Ours were made for the moment at which theirs end.
        any_time = {"verify_exp": False, "verify_nbf": False}
        claims = jwt.decode(line["token"], line["secret"], algorithms=["HS256"], options=any_time)
        header = jwt.get_unverified_header(line["token"])
        assert claims["iss"] == line["key"] and claims["sub"] == line["account"], line
        assert claims["exp"] == line["until"] and claims["nbf"] < claims["exp"], line
        assert claims["jti"].startswith(line["key"] + "-"), line
        wanted = {"identity": line["identity"], "chat": {"service_sid": line["service"]}}
        assert claims["grants"] == wanted, line
        assert header.get("twr") == line["region"] and header["cty"] == "twilio-fpa;v=1", line
        count += 1
    assert count > 0
    print(f"Python agrees with {count} of ours")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(int(sys.argv[2]), int(sys.argv[3]))
    else:
        check(sys.argv[2])
