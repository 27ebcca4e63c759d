"""Tests of the steps around the core, without the engine: logics and partitions are called as it calls them."""
