"""Kafka: consumers, producers, transactions, topics."""
