#!/bin/bash
# shellcheck disable=SC2086  # options, in words
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} -cp '/opt/kafka/libs/*' ${KAFKA_OPTS:-} org.apache.kafka.tools.TopicCommand "$@"
