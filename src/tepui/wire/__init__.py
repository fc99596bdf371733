"""The Mesos v1 messages, and the ways they travel: JSON, protobuf, RecordIO."""
