#!/usr/bin/env python3
"""Takes template.yaml through SAM's own translator, and then through what CloudFormation does, for every way in
which its switches can stand; without an account or a network.

For each: nothing refers to what is not made, nothing waits for itself, the dashboard and the access log are JSON, the
alias and the gradual deployment are as asked for. And once: no parameter can be changed without effect, every alarm
and widget watches something that is counted, and every alarm is in the dashboard and in docs/runbook.md.

Run it with the Python of SAM CLI's environment, which has samtranslator: .ci/run does.
"""

import itertools
import json
import re
import sys
from pathlib import Path

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).resolve().parents[2]
ZEROS = "0" * 32
REQUIRED = {
    "TwilioAccountSid": f"AC{ZEROS}",
    "FlexWorkspaceSid": f"WS{ZEROS}",
    "FlexWorkflowSid": f"WW{ZEROS}",
    "FlexChatServiceSid": f"IS{ZEROS}",
}
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:twilio-AbCdEf"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::NoValue": None,
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "flexglue",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()


def parsed():
    return yaml_parse((ROOT / "template.yaml").read_text())


def translated(parameters):
    template = parsed()
    # sam deploy puts the built code here.
    template["Globals"]["Function"].pop("CodeUri")
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/code"
    names = ["AWSLambdaBasicExecutionRole", "AWSCodeDeployRoleForLambda", "AWSXRayDaemonWriteAccess"]
    policies = {name: f"arn:aws:iam::aws:policy/service-role/{name}" for name in names}
    session = boto3.Session(region_name="us-east-1")
    translator = Translator(policies, Parser(), boto_session=session)
    # Through JSON, which has none of the translator's own types.
    return json.loads(json.dumps(translator.translate(template, dict(parameters))))


class Stack:
    """What CloudFormation would make of a translated template. Resources stand as `<LogicalId>`."""

    def __init__(self, template, parameters):
        self.template = template
        self.values = {name: str(it.get("Default", "")) for name, it in template["Parameters"].items()}
        self.values |= parameters | PSEUDO
        made = {k: v for k, v in template["Resources"].items() if self.holds(v.get("Condition", True))}
        self.resources, self.needs = {}, {}
        for name, resource in made.items():
            self.referred = set()
            after = resource.get("DependsOn", [])
            self.referred.update([after] if isinstance(after, str) else after)
            self.resources[name] = self.value({k: v for k, v in resource.items() if k != "Condition"})
            self.needs[name] = self.referred
        self.referred = set()
        outputs = {k: v for k, v in template["Outputs"].items() if self.holds(v.get("Condition", True))}
        self.outputs = {name: self.value(output["Value"]) for name, output in outputs.items()}
        self.needs["the outputs"] = self.referred

    def holds(self, condition):
        if isinstance(condition, bool):
            return condition
        if isinstance(condition, str):
            return self.holds(self.template["Conditions"][condition])
        ((kind, of),) = condition.items()
        match kind:
            case "Condition":
                return self.holds(of)
            case "Fn::Not":
                return not self.holds(of[0])
            case "Fn::Or":
                return any(self.holds(it) for it in of)
            case "Fn::And":
                return all(self.holds(it) for it in of)
            case "Fn::Equals":
                return str(self.value(of[0])) == str(self.value(of[1]))
        raise ValueError(condition)

    def ref(self, name):
        if name in self.values:
            value = self.values[name]
            return NOTHING if value is None else value
        self.referred.add(name)
        return f"<{name}>"

    def attribute(self, path):
        self.referred.add(path.split(".")[0])
        return f"<{path}>"

    def value(self, it):
        if isinstance(it, list):
            return [value for value in map(self.value, it) if value is not NOTHING]
        if not isinstance(it, dict):
            return it
        if len(it) == 1:
            ((kind, of),) = it.items()
            match kind:
                case "Ref":
                    return self.ref(of)
                case "Fn::If":
                    return self.value(of[1] if self.holds(of[0]) else of[2])
                case "Fn::GetAtt":
                    return self.attribute(of if isinstance(of, str) else ".".join(of))
                case "Fn::FindInMap":
                    first, *path = self.value(of)
                    return self.template["Mappings"][first][path[0]][path[1]]
                case "Fn::Sub":
                    text, given = (of, {}) if isinstance(of, str) else of
                    given = {name: self.value(value) for name, value in given.items()}

                    def one(match):
                        name = match.group(1)
                        if name in given:
                            return str(given[name])
                        return self.attribute(name) if "." in name else str(self.ref(name))

                    return re.sub(r"\$\{([^!}]+)\}", one, text)
        entries = {name: self.value(value) for name, value in it.items()}
        return {name: value for name, value in entries.items() if value is not NOTHING}

    def of_type(self, kind):
        return {name: it["Properties"] for name, it in self.resources.items() if it["Type"] == kind}

    def dashboard(self):
        return self.resources["Dashboard"]["Properties"]["DashboardBody"]


def check_order(stack):
    for name, needs in stack.needs.items():
        missing = needs - stack.resources.keys()
        assert not missing, f"{name} refers to {missing}, which is not made"
    done = set()

    def walk(name, path):
        assert name not in path, f"a circle: {[*path, name]}"
        if name not in done:
            for needed in stack.needs[name]:
                walk(needed, [*path, name])
            done.add(name)

    for name in stack.needs:
        walk(name, [])


def check(switches):
    parameters = REQUIRED | switches
    stack = Stack(translated(parameters), parameters)
    check_order(stack)
    web = bool(switches["WebchatAddressSid"])
    functions = stack.of_type("AWS::Lambda::Function")
    assert len(functions) == (5 if web else 4), functions.keys()

    secret = SECRET if switches["TwilioSecretArn"] else "<TwilioSecret>"
    assert ("TwilioSecret" in stack.resources) == (secret != SECRET)
    assert stack.outputs["TwilioSecretToFillIn"] == secret
    for name, function in functions.items():
        assert function["Environment"]["Variables"]["TWILIO_SECRET_ARN"] == secret, name
        statements = [
            statement
            for policy in stack.resources[f"{name}Role"]["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]
        assert secret in [statement["Resource"] for statement in statements], f"{name} may not read its secret"
        for statement in statements:
            assert "*" not in json.dumps(statement), f"{name}: {statement}"

    # A change of a parameter is a change of the function, or Lambda publishes no version, and of the version.
    for name, version in stack.of_type("AWS::Lambda::Version").items():
        assert version["Description"] == "configuration <ConfigurationVersion>", name
    for name, function in functions.items():
        assert function["Description"].endswith("configuration <ConfigurationVersion>"), name
    assert len(stack.of_type("AWS::Lambda::Version")) == len(functions)

    # Everybody calls the alias, never the function.
    for name in functions:
        assert stack.of_type("AWS::Lambda::Alias")[f"{name}Aliaslive"]["Name"] == "live"
    for name, permission in stack.of_type("AWS::Lambda::Permission").items():
        assert permission["FunctionName"].endswith("Aliaslive>"), name
    api = json.dumps(stack.of_type("AWS::ApiGatewayV2::Api"))
    assert all(uri.endswith("Aliaslive>/invocations") for uri in re.findall(r'"uri": "([^"]+)"', api)), api
    assert ("/initWebchat" in api) == web

    gradual = switches["Deployment"] != "AllAtOnce"
    groups = stack.of_type("AWS::CodeDeploy::DeploymentGroup")
    assert len(groups) == (len(functions) if gradual else 0), groups.keys()
    for name, group in groups.items():
        alarms = [alarm["Name"] for alarm in group["AlarmConfiguration"]["Alarms"]]
        assert alarms == [f"<{name.removesuffix('DeploymentGroup')}Errors>"], alarms
        assert group["DeploymentConfigName"] == f"CodeDeployDefault.Lambda{switches['Deployment']}"

    body = json.loads(stack.dashboard())
    assert web == any(widget["properties"].get("title") == "Web chats" for widget in body["widgets"])
    shown = {arn for widget in body["widgets"] for arn in widget["properties"].get("alarms", [])}
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    assert shown == {f"<{name}.Arn>" for name in alarms}, shown
    for stage in stack.of_type("AWS::ApiGatewayV2::Stage").values():
        json.loads(re.sub(r"\$context[.\w]+", "-", stage["AccessLogSettings"]["Format"]))
    return stack


def check_once(stack):
    template = parsed()
    functions = [it for it in template["Resources"].values() if it["Type"] == "AWS::Serverless::Function"]
    text = json.dumps([template["Globals"], functions])
    used = {name for name in template["Parameters"] if f'"Ref": "{name}"' in text}
    # These are no part of a version.
    used = {name for name in used if name != "Deployment" and not name.endswith("Concurrency")}
    content = template["Resources"]["ConfigurationVersion"]["Properties"]["Content"]["Fn::Sub"]
    numbered = set(re.findall(r"\$\{(\w+)\}", content))
    assert used == numbered, f"would change without a new version, or has no effect: {used ^ numbered}"

    metrics = (ROOT / "shared/src/telemetry.rs").read_text()
    metrics = metrics[metrics.index("pub enum Metric {") :]
    metrics = set(re.findall(r"^    (\w+),$", metrics[: metrics.index("\n}")], re.MULTILINE))
    watched = set(re.findall(r'flexglue\\*",Function\} MetricName=\\*"(\w+)', stack.dashboard()))
    watched |= set(re.findall(r'\["flexglue", "(\w+)"', stack.dashboard()))
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    watched |= set(re.findall(r'SELECT SUM\((\w+)\) FROM SCHEMA\(\\"flexglue', json.dumps(alarms)))
    assert len(watched) > 25, watched
    assert watched <= metrics, f"nobody counts {watched - metrics}"

    operations = (ROOT / "docs/runbook.md").read_text()
    told = [name for name in alarms if not re.search(r"(Errors|Throttles|Slow)$", name)]
    told += ["…Errors", "…Throttles", "…Slow"]
    untold = [name for name in told if f"`{name}`" not in operations]
    assert not untold, f"docs/runbook.md does not know {untold}"


def main():
    kinds = ["AllAtOnce", "Canary10Percent5Minutes", "Linear10PercentEvery1Minute"]
    ways = itertools.product(["", SECRET], ["", f"IG{ZEROS}"], kinds)
    for secret, web, deployment in ways:
        switches = {"TwilioSecretArn": secret, "WebchatAddressSid": web, "Deployment": deployment}
        stack = check(switches)
        print(f"{'secret given' if secret else 'secret made ':12}  {'web chats' if web else '-':9}  {deployment:27}",
              f"{len(stack.resources)} resources")
    everything = switches | {
        "AlarmEmail": "on-call@example.com",
        "ConversationInactiveAfter": "PT1H",
        "FallbackWorkflowSid": f"WW{ZEROS}",
        "InboundWebhookConcurrency": "50",
        "OrphanSweeperConcurrency": "0",
        "PublicBaseUrl": "https://hooks.example.com/flex",
        "Tracing": "Active",
        "TwilioEdge": "dublin",
    }
    stack = check(everything)
    functions = stack.of_type("AWS::Lambda::Function")
    assert functions["InboundWebhook"]["ReservedConcurrentExecutions"] == "50"
    assert functions["OrphanSweeper"]["ReservedConcurrentExecutions"] == "0"
    assert "ReservedConcurrentExecutions" not in functions["TaskRouterEvents"]
    assert functions["InboundWebhook"]["TracingConfig"] == {"Mode": "Active"}
    assert stack.outputs["ConversationsWebhookUrl"] == "https://hooks.example.com/flex/webhooks/conversations"
    print(f"everything that can be switched on  {len(stack.resources)} resources")
    check_once(stack)


if __name__ == "__main__":
    sys.exit(main())
