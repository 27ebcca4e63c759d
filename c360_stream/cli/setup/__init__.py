"""`c360 setup`."""
