"""Reads topics with Confluent's client and its deserializers; prints a line of JSON for each record.

Arguments: brokers, registry, format (avro, json-schema), how many records, topics.
"""

import datetime
import json
import sys

from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

brokers, registry, form, count, *topics = sys.argv[1:]
client = SchemaRegistryClient({"url": registry})
if form == "avro":
    deserialize = AvroDeserializer(client)
else:
    # Without a schema of its own it takes the one that the id names, and validates each value against it.
    deserialize = JSONDeserializer(None, schema_registry_client=client)


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


consumer = Consumer(
    {
        "bootstrap.servers": brokers,
        "group.id": topics[0],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "topic.metadata.refresh.interval.ms": 500,
    }
)
consumer.subscribe(topics)
seen = 0
while seen < int(count):
    message = consumer.poll(60)
    if message is None:
        sys.exit(f"{seen} of {count} records in a minute")
    if message.error():
        continue
    context = SerializationContext(message.topic(), MessageField.VALUE, message.headers())
    value = deserialize(message.value(), context)
    value = {name: plain(member) for name, member in value.items()}
    names = [name for name, _ in message.headers()]
    kind, timestamp = message.timestamp()
    assert kind == TIMESTAMP_CREATE_TIME
    record = {"topic": message.topic(), "value": value, "headers": names, "timestamp": timestamp}
    print(json.dumps(record))
    seen += 1
consumer.close()
