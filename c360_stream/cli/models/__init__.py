"""`c360 models`."""
