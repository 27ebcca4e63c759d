"""`c360 bench`: reproducible benchmarks, each beside the floor that this machine had in the same minute."""
