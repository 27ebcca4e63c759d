"""Outcomes as they become known, and who was contacted before."""
