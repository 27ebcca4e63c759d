"""`c360 heartbeat`."""
