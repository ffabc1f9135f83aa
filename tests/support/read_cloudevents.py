"""Reads Kafka records as the CloudEvents SDK for Python does, and prints what it understood.

Standard input: a JSON list of {"key", "value", "headers": {name: value}}, all but the names in base64;
a key may be null.
Standard output: a JSON list of {"attributes", "data"}; data that is no JSON and no text is in base64.
Whatever the SDK complains about ends the program.
"""

import base64
import json
import sys
from datetime import datetime

from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat

STRUCTURED = "application/cloudevents+json"


def read(record):
    message = kafka.KafkaMessage(
        headers={name: base64.b64decode(value) for name, value in record["headers"].items()},
        key=None if record["key"] is None else base64.b64decode(record["key"]),
        value=base64.b64decode(record["value"]),
    )
    is_structured = message.headers.get("content-type", b"").decode().startswith(STRUCTURED)
    read_as = kafka.from_structured if is_structured else kafka.from_binary
    event = read_as(message, JSONFormat())
    # What finds out the mode for itself must come to the same.
    detected = kafka.from_kafka(message, JSONFormat())
    understood = [
        {"attributes": attributes(message, found), "data": found.get_data()}
        for found in (event, detected)
    ]
    assert understood[0] == understood[1], understood
    return understood[0]


def attributes(message, event):
    """Those of the record: the SDK gives an event without a time the current one."""
    found = dict(event.get_attributes())
    if "ce_specversion" in message.headers:
        has_time = "ce_time" in message.headers
    else:
        has_time = "time" in json.loads(message.value)
    if not has_time:
        del found["time"]
    return found


def plain(value):
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(type(value))


json.dump([read(record) for record in json.load(sys.stdin)], sys.stdout, default=plain)
