"""Models, training, quality, drift and explanations. Pure: no transport, no database."""
