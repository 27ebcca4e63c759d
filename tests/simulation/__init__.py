"""Seeded simulation: schedules of crashes, outages, stops and rescaling, and a model that says what must come out."""
