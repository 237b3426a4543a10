#!/usr/bin/env python3
"""Compares recorded exchanges with what Twilio publishes.

    check.py FOLDER EXCHANGES

FOLDER holds Twilio's OpenAPI (`twilio_*.json`), EXCHANGES one exchange a line, as `tests/openapi/main.rs` writes
them. `published.json` beside this script says which of Twilio's files count, what is known beyond them, and from
where. Ends with 1 where request or answer are not as published, where an exception is not needed (any more), and
where a change to an exchange would not be found.
"""

import copy
import email.utils
import json
import pathlib
import re
import sys
import urllib.parse

import jsonschema

HERE = pathlib.Path(__file__).parent

# What schemas may say. Anything else would be left unchecked, so it is an error.
KEYWORDS = {"type", "properties", "items", "required", "enum", "format", "pattern", "minLength", "maxLength", "minimum",
            "maximum", "nullable", "additionalProperties"}
REMARKS = {"description", "title", "default", "example", "x-twilio", "deprecated"}
FORMATS = {"uri", "date-time", "date-time-rfc-2822", "int64", "http-method"}

# What Twilio publishes as texts of any kind, though a SID, a date or a URL stands there: the last names of its place.
FREE = {("routing_target",), ("alerts", "more_info")}

# What every HTTP client sends.
PLAIN_HEADERS = {"authorization", "accept", "user-agent", "content-type"}

formats = jsonschema.FormatChecker(["uri", "date-time"])


@formats.checks("date-time-rfc-2822")
def is_date(text):
    return not isinstance(text, str) or email.utils.parsedate_tz(text) is not None


@formats.checks("http-method")
def is_http_method(text):
    return not isinstance(text, str) or text in ("GET", "POST")


class Published:
    """What is known of Twilio's APIs."""

    def __init__(self, folder, beyond):
        self.beyond = beyond
        self.files = {name: json.loads((folder / name).read_text()) for name in beyond["files"]}
        self.operations = []
        for name, document in self.files.items():
            for path, item in document["paths"].items():
                for server in item.get("servers", document.get("servers", [])):
                    self.operations.append((name, server["url"], path, item))
        # A path in which less may stand for anything is meant before one in which more may.
        self.operations.sort(key=lambda found: found[2].count("{"))
        self.schemas = {}
        self.opened = set()
        for entry in beyond["open"].values():
            if "same_as" in entry:
                entry |= beyond["open"][entry["same_as"]]
            jsonschema.Draft202012Validator.check_schema(entry["schema"])

    def find(self, method, url):
        """The operation that a request means: what it is called, its file, itself, and what its path gives."""
        for name, server, path, item in self.operations:
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(server + path))
            found = re.fullmatch(pattern, url)
            if found and method.lower() in item:
                parameters = item.get("parameters", []) + item[method.lower()].get("parameters", [])
                operation = {**item[method.lower()], "parameters": parameters}
                return f"{method} {server}{path}", name, operation, found.groupdict()
        return None

    def schema(self, file, schema, name):
        """A JSON schema that is as strict as the published one, and knows no property beyond it."""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/components/schemas/")
            if (file, name) not in self.schemas:
                self.schemas[file, name] = self.schema(file, self.files[file]["components"]["schemas"][name], name)
            return self.schemas[file, name]
        unknown = schema.keys() - KEYWORDS - REMARKS
        if unknown or schema.get("format") not in FORMATS | {None, "uri-map"}:
            raise SystemExit(f"{name}: {unknown or schema['format']} is not understood")
        kind = schema.get("type")
        strict = {key: schema[key] for key in KEYWORDS - {"nullable", "properties", "items"} if key in schema}
        if schema.get("format") == "uri-map":
            strict = {"type": "object", "additionalProperties": {"type": "string", "format": "uri"}}
        elif "properties" in schema:
            strict |= {"type": "object", "additionalProperties": schema.get("additionalProperties", False)}
            strict["properties"] = {
                key: self.schema(file, value, f"{name}.{key}") for key, value in schema["properties"].items()
            }
        elif kind == "array":
            strict["items"] = self.schema(file, schema["items"], f"{name}[]")
        elif kind in (None, "object") and "enum" not in schema:
            strict = self.open(name)
        if schema.get("nullable"):
            return {"anyOf": [strict, {"type": "null"}]}
        return strict

    def open(self, name):
        """What is known of something that Twilio leaves open."""
        self.opened.add(name)
        return self.beyond["open"][name]["schema"] if name in self.beyond["open"] else {"$comment": f"open: {name}"}


class Judge:
    """Says what is wrong with exchanges."""

    def __init__(self, published):
        self.published = published
        self.unpublished = published.beyond["unpublished"]
        self.refusals = published.beyond["refusals"]
        self.validators = {}
        self.statuses = set()
        self.found = []

    def judge(self, exchange):
        """What is wrong: pairs of where and what."""
        self.found = []
        method, url = exchange["method"], exchange["url"]
        for template, known in self.unpublished.items():
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
            found = re.fullmatch(pattern, f"{method} {url}")
            if found:
                self.by_hand(exchange, template, known)
                return template, self.found
        operation = self.published.find(method, url)
        if operation is None:
            return f"{method} {url}", [("request", "there is no such operation")]
        name, file, operation, path = operation
        self.request(exchange, file, name, operation, path)
        if exchange["answer"]:
            self.answer(exchange["answer"], file, name, operation)
        return name, self.found

    def by_hand(self, exchange, name, known):
        if exchange["headers"].get("content-type") != "application/json":
            self.say("request", "is not JSON")
        self.headers(exchange, [])
        for key, _ in exchange["query"]:
            self.say(f"query {key}", "is not known")
        self.validate(exchange.get("body"), known["request"], "request")
        if exchange["answer"]:
            status = str(exchange["answer"]["status"])
            if status in known["answers"]:
                self.validate(exchange["answer"]["body"], known["answers"][status], f"answer {status}")
            else:
                self.refusal(exchange["answer"])

    def request(self, exchange, file, name, operation, path):
        declared = {(one["in"], one["name"]): one for one in operation["parameters"]}
        self.headers(exchange, operation["parameters"], file)
        for key, value in path.items():
            self.parameter(file, f"{name} {key}", declared[("path", key)]["schema"], [value], f"path {key}")
        query = {key: one["schema"] for (where, key), one in declared.items() if where == "query"}
        required = [key for (where, key), one in declared.items() if where == "query" and one.get("required")]
        self.parameters(file, name, query, required, exchange["query"], "query")
        content = operation.get("requestBody", {}).get("content", {})
        kind = exchange["headers"].get("content-type")
        if (kind in content) if content else kind is None:
            form = content.get("application/x-www-form-urlencoded", {}).get("schema", {})
            if exchange["method"] == "POST":
                given = exchange.get("form", [])
                self.parameters(file, name, form.get("properties", {}), form.get("required", []), given, "form")
        else:
            self.say("request", f"its content type is {kind}, not {list(content)}")
        if "body" in exchange:
            self.say("request", "has a body that is no form")

    def headers(self, exchange, parameters, file=None):
        declared = {one["name"].lower(): one["schema"] for one in parameters if one["in"] == "header"}
        for key, value in exchange["headers"].items():
            if key in declared:
                self.parameter(file, key, declared[key], [value], f"header {key}")
            elif key not in PLAIN_HEADERS:
                self.say(f"header {key}", "is not known")
        if not re.fullmatch(r"Basic (AC|SK)[0-9a-f]{32}", exchange["headers"].get("authorization", "")):
            self.say("header authorization", "is neither the account's nor a key's")

    def parameters(self, file, name, declared, required, given, where):
        values = {}
        for key, value in given:
            values.setdefault(key, []).append(value)
        for key in required:
            if key not in values:
                self.say(f"{where} {key}", "is required, and missing")
        for key, all_of_them in values.items():
            if key in declared:
                self.parameter(file, f"{name} {key}", declared[key], all_of_them, f"{where} {key}")
            else:
                self.say(f"{where} {key}", "is not known")

    def parameter(self, file, name, schema, values, where):
        strict = self.published.schema(file, schema, name)
        if strict.get("type") == "array":
            self.validate([self.read(value, strict["items"]) for value in values], strict, where)
        elif len(values) > 1:
            self.say(where, "is given more than once")
        else:
            self.validate(self.read(values[0], strict, opened=name in self.published.opened), strict, where)

    @staticmethod
    def read(text, schema, opened=False):
        """The value that a text of a form stands for."""
        if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", text):
            return int(text)
        if schema.get("type") == "boolean" and text in ("true", "false"):
            return text == "true"
        if opened:
            try:
                return json.loads(text)
            except ValueError:
                return text
        return text

    def answer(self, answer, file, name, operation):
        status = str(answer["status"])
        if status not in operation["responses"]:
            if answer["status"] >= 400:
                self.refusal(answer)
            else:
                self.say("answer", f"{status} is not published; there is {', '.join(sorted(operation['responses']))}")
            return
        content = operation["responses"][status].get("content")
        if content is None:
            if answer["body"] is not None:
                self.say(f"answer {status}", "has a body")
            return
        kind = answer["headers"].get("content-type")
        if kind not in content:
            self.say(f"answer {status}", f"its content type is {kind}")
            return
        schema = self.published.schema(file, content[kind]["schema"], f"{name} {status}")
        self.validate(answer["body"], schema, f"answer {status}")

    def refusal(self, answer):
        """Twilio publishes refusals in words only."""
        status = answer["status"]
        if status not in self.refusals["statuses"]:
            self.say("answer", f"{status} is not published")
        self.statuses.add(status)
        kind = answer["headers"].get("content-type")
        schema = self.refusals["shapes"].get(kind)
        if schema is None:
            self.say(f"answer {status}", f"its content type is {kind}")
        else:
            self.validate(answer["body"], schema, f"answer {status}")

    def validate(self, value, schema, where):
        key = id(schema)
        if key not in self.validators:
            # The schema is kept, so that its id stays its own.
            self.validators[key] = schema, jsonschema.Draft202012Validator(schema, format_checker=formats)
        for error in self.validators[key][1].iter_errors(value):
            for leaf in leaves(error):
                place = "".join("[]" if isinstance(step, int) else f".{step}" for step in leaf.absolute_path)
                for what, extra in told(leaf):
                    self.say(f"{where}{place}{extra}", what)

    def say(self, where, what):
        if (where, what) not in self.found:
            self.found.append((where, what))


def leaves(error):
    """What is wrong below `anyOf`: that it is neither null nor what it should be is told of the latter alone."""
    if error.validator == "anyOf" and error.validator_value[-1] == {"type": "null"}:
        for below in error.context:
            if below.schema_path[0] == 0:
                yield from leaves(below)
    else:
        yield error


def told(error):
    """What is wrong, in words that are the same for all values: pairs with the rest of the place."""
    value, wanted = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties" if wanted is False:
            known = error.schema.get("properties", {})
            return [("is not known", f".{key}") for key in value if key not in known]
        case "type":
            return [(f"is {type(value).__name__}, not {wanted}", "")]
        case "required":
            return [("is required, and missing", f".{key}") for key in wanted if key not in value]
        case rule:
            return [(f"{rule}: {json.dumps(value)[:80]} is not {json.dumps(wanted)[:200]}", "")]


def changes(exchange):
    """Exchanges that are not as published, in one thing each."""
    for part in ("query", "form"):
        for at, (key, _) in enumerate(exchange.get(part, [])):
            changed = copy.deepcopy(exchange)
            changed[part][at][0] = key + "s"
            yield f"{part} {key} by another name", changed
    if exchange["answer"] is None:
        return
    changed = copy.deepcopy(exchange)
    changed["headers"]["x-flexglue"] = "1"
    yield "another header", changed
    changed = copy.deepcopy(exchange)
    changed["answer"]["status"] = 299
    yield "another status", changed
    for path in paths(exchange["answer"]["body"]):
        changed = copy.deepcopy(exchange)
        place = ["answer", "body", *path]
        at = within(changed, place[:-1])
        value = at[place[-1]]
        if isinstance(value, dict):
            value["flexglue_unknown"] = 1
            yield f"another property in {place}", changed
        else:
            at[place[-1]] = {"flexglue": "wrong"}
            yield f"an object at {place}", changed
        for what, pattern in (("SID", r"[A-Z]{2}[0-9a-f]{32}"), ("date", r"\d{4}-\d\d-\d\dT.*"), ("URL", r"https?://.*")):
            if isinstance(value, str) and re.fullmatch(pattern, value) and not is_free(place):
                changed = copy.deepcopy(changed)
                within(changed, place[:-1])[place[-1]] = "x " + value
                yield f"no {what} at {place}", changed


def is_free(place):
    names = tuple(name for name in place if isinstance(name, str))
    return any(names[-len(free):] == free for free in FREE)


def within(value, place):
    for step in place:
        value = value[step]
    return value


def paths(value):
    """Where something stands in a body."""
    yield []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    for step, below in steps:
        for path in paths(below):
            yield [step, *path]


def main(folder, recorded):
    beyond = json.loads((HERE / "published.json").read_text())
    published = Published(pathlib.Path(folder), beyond)
    judge = Judge(published)
    exchanges = [json.loads(line) for line in pathlib.Path(recorded).read_text().splitlines()]
    excused = {(one["operation"], one["where"], one["what"]): 0 for one in beyond["exceptions"]}
    wrong, operations = {}, set()
    for exchange in exchanges:
        operation, found = judge.judge(exchange)
        operations.add(operation)
        for where, what in found:
            key = (operation, where, what)
            if key in excused:
                excused[key] += 1
            else:
                wrong.setdefault(key, exchange)
    for operation, where, what in wrong:
        print(f"{operation}: {where}: {what}")
    complaints = [f"not needed: {key}" for key, count in excused.items() if not count]
    complaints += [f"not seen: refusals with {status}" for status in set(beyond["refusals"]["statuses"]) - judge.statuses]
    complaints += [f"not seen: {template}" for template in beyond["unpublished"].keys() - operations]
    complaints += [f"Twilio leaves open, and nothing is said here of: {name}"
                   for name in sorted(published.opened - beyond["open"].keys())]
    complaints += [f"said here, and not left open: {name}" for name in sorted(beyond["open"].keys() - published.opened)]

    tried = 0
    for exchange in exchanges:
        known = set(judge.judge(exchange)[1])
        for change, changed in changes(exchange):
            tried += 1
            if not set(judge.judge(changed)[1]) - known:
                complaints.append(f"would not be found: {exchange['method']} {exchange['url']}: {change}")
    for complaint in dict.fromkeys(complaints):
        print(complaint)
    print(f"{len(exchanges)} exchanges in {len(operations)} operations: {len(wrong)} findings, "
          f"{sum(map(bool, excused.values()))} exceptions; {tried} changes tried, {len(complaints)} complaints")
    return 1 if wrong or complaints or not exchanges else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
