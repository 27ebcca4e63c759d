"""Models: what learns from examples and what scores, as plain data. Pure: no transport, no database."""
