"""What comes in and what goes out: each event and each record, once."""
