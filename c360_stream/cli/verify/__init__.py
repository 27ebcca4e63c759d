"""`c360 verify`."""
