"""`c360 redrive`."""
