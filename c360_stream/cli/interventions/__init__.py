"""`c360 interventions`."""
