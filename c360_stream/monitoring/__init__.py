"""Drift, quality, alarms and interventions, from numbers alone. Pure: no transport, no database."""
