"""A CloudFormation template as CloudFormation sees it: parameters given, rules judged, conditions decided.

Only as much as the templates beside this need; what it does not know is an error, never a guess.
"""

import json
import pathlib
import re

import yaml

INFRA = pathlib.Path(__file__).resolve().parent.parent

# Standing for what exists only in AWS.
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "a-stack",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = {"Ref": "AWS::NoValue"}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, written out."""


def _long_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def load(name):
    """The template of this name, with every function in its long form."""
    return yaml.load((INFRA / name).read_text(), _Loader)


class Refused(Exception):
    """CloudFormation would not begin: a value or a combination that is not allowed."""


class Stack:
    """What a template makes of parameters: its resources and outputs with all conditions decided."""

    def __init__(self, template, **given):
        self.parameters = {
            name: self._value(name, declared, given) for name, declared in template["Parameters"].items()
        }
        unknown = set(given) - set(self.parameters)
        if unknown:
            raise Refused(f"unknown parameters: {sorted(unknown)}")
        self.mappings = template.get("Mappings", {})
        self._declared_conditions = template.get("Conditions", {})
        self._judge_rules(template.get("Rules", {}))
        self.resources = self._existing(template["Resources"])
        self.outputs = self._existing(template["Outputs"])

    @staticmethod
    def _value(name, declared, given):
        value = given.get(name, declared.get("Default"))
        if value is None:
            raise Refused(f"{name} is missing")
        text = str(value)
        said = f"{name} {text!r}: {declared.get('ConstraintDescription', declared)}"
        # As CloudFormation matches: the whole value.
        values = text.split(",") if declared["Type"] == "CommaDelimitedList" else [text]
        if "AllowedPattern" in declared and not all(re.fullmatch(declared["AllowedPattern"], each) for each in values):
            raise Refused(said)
        if "AllowedValues" in declared and text not in map(str, declared["AllowedValues"]):
            raise Refused(said)
        if declared["Type"] == "Number":
            number = float(text)
            if not declared.get("MinValue", number) <= number <= declared.get("MaxValue", number):
                raise Refused(said)
        if not declared.get("MinLength", 0) <= len(text) <= declared.get("MaxLength", len(text)):
            raise Refused(said)
        return values if declared["Type"] == "CommaDelimitedList" else text

    def _judge_rules(self, rules):
        for name, rule in rules.items():
            if "RuleCondition" in rule and not self.holds(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self.holds(assertion["Assert"]):
                    raise Refused(f"{name}: {assertion['AssertDescription']}")

    def holds(self, condition):
        """Whether a condition, by name or written out, is true."""
        if isinstance(condition, str):
            return self.holds(self._declared_conditions[condition])
        ((function, argument),) = condition.items()
        match function:
            case "Condition":
                return self.holds(argument)
            case "Fn::Equals":
                first, second = (self._plain(each) for each in argument)
                return first == second
            case "Fn::Not":
                return not self.holds(argument[0])
            case "Fn::And":
                return all([self.holds(each) for each in argument])
            case "Fn::Or":
                return any([self.holds(each) for each in argument])
        raise ValueError(f"no condition function: {function}")

    def _plain(self, value):
        """What a rule or a condition compares."""
        if isinstance(value, str):
            return value
        ((function, argument),) = value.items()
        if function == "Fn::Join":
            separator, joined = argument
            values = self._plain(joined)
            return separator.join([values] if isinstance(values, str) else values)
        # The others that CloudFormation promises here are not needed; Fn::FindInMap would be one.
        if function != "Ref":
            raise ValueError(f"no function of a condition: {function}")
        return (self.parameters | PSEUDO)[argument]

    def _existing(self, section):
        return {
            name: self._decided({key: value for key, value in declared.items() if key != "Condition"})
            for name, declared in section.items()
            if "Condition" not in declared or self.holds(declared["Condition"])
        }

    def _decided(self, node):
        """The node with every Fn::If decided, every FindInMap looked up, parameters in place and no NoValue left."""
        if isinstance(node, list):
            decided = [self._decided(each) for each in node]
            return [each for each in decided if each != NO_VALUE]
        if not isinstance(node, dict):
            return node
        if set(node) == {"Fn::If"}:
            condition, yes, no = node["Fn::If"]
            return self._decided(yes if self.holds(condition) else no)
        if set(node) == {"Fn::FindInMap"}:
            name, first, second = (self._decided(each) for each in node["Fn::FindInMap"])
            return self.mappings[name][first][second]
        if set(node) == {"Ref"} and node["Ref"] in self.parameters:
            return self.parameters[node["Ref"]]
        decided = {key: self._decided(value) for key, value in node.items()}
        return {key: value for key, value in decided.items() if value != NO_VALUE}

    def of_type(self, kind):
        """Properties of each resource of a type, by name."""
        return {name: resource["Properties"] for name, resource in self.resources.items() if resource["Type"] == kind}

    def text(self, value):
        """A text with parameters and pseudo parameters filled in; resources stay as ${Name} or ${Name.Attribute}."""
        if isinstance(value, dict) and set(value) == {"Fn::Sub"}:
            body = value["Fn::Sub"]
            body, own = (body, {}) if isinstance(body, str) else body
            known = PSEUDO | self.parameters | {name: self.text(each) for name, each in own.items()}
            return re.sub(r"\$\{([^!}]+)\}", lambda match: known.get(match[1], match[0]), body)
        if isinstance(value, dict) and set(value) == {"Fn::Select"}:
            index, values = value["Fn::Select"]
            separator, split = values["Fn::Split"]
            return self.text(split).split(separator)[int(index)]
        if isinstance(value, dict) and set(value) == {"Ref"}:
            return "${" + value["Ref"] + "}"
        if isinstance(value, dict) and set(value) == {"Fn::GetAtt"}:
            return "${" + ".".join(value["Fn::GetAtt"]) + "}"
        if isinstance(value, str):
            return value
        raise ValueError(f"no text: {json.dumps(value)}")

    def dangling(self):
        """Every reference from a resource or an output to what is not there."""
        there = set(self.resources) | set(self.parameters) | set(PSEUDO)
        missing = []
        for section in (self.resources, self.outputs):
            for name, declared in section.items():
                missing += [f"{name} -> {target}" for target in references(declared) if target not in there]
        return missing


def references(node):
    """The names that a node refers to, by Ref, GetAtt, Sub or DependsOn."""
    if isinstance(node, list):
        for each in node:
            yield from references(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value[0]
            elif key == "DependsOn":
                yield from [value] if isinstance(value, str) else value
            elif key == "Fn::Sub":
                body, own = (value, {}) if isinstance(value, str) else value
                yield from (name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", body) if name not in own)
                yield from references(own)
            else:
                yield from references(value)
