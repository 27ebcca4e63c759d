"""From a model version to scores, tiers, reasons and values. Pure: no transport, no database."""
