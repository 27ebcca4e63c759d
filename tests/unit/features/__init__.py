"""Tests of the features, and `deliveries`: events on their way to account shards, in every order there is."""
