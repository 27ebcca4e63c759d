"""Thin Bytewax steps around the core."""
