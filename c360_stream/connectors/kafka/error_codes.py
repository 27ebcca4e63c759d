"""Kafka's error codes, by their consequences."""

from __future__ import annotations

from confluent_kafka import KafkaError

OUTAGE = frozenset(
    {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE}
    | {KafkaError._MSG_TIMED_OUT, KafkaError._AUTHENTICATION}
)
PASSING = OUTAGE | {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
}
"""librdkafka tries these again by itself, but not in every call: a group or a partition has no leader for a moment
after a broker's start, and after it was made."""
REFUSED = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})
"""Broker or client does not accept the identity of the other."""
DENIED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
"""This user may not do that with this topic."""
GONE = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
    | {KafkaError.UNKNOWN_TOPIC_ID, KafkaError.INCONSISTENT_TOPIC_ID}
)
"""There is no such partition, or not yet."""
FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
"""A newer producer of the same name fences this one; or the broker ended a transaction that took too long, which
gives the same code."""
FINAL = DENIED | frozenset(
    {KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.TOPIC_EXCEPTION}
    | {KafkaError.INVALID_RECORD, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_TRANSACTION_TIMEOUT}
    | {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNKNOWN_PARTITION}
    | {KafkaError._UNKNOWN_TOPIC, KafkaError._UNSUPPORTED_FEATURE, KafkaError._INVALID_ARG}
)
"""Errors of a transaction that a retry cannot fix."""
