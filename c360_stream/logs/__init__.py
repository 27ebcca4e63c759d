"""The log of a process on stderr, one line an event: `events` declares the events, `lines` writes them."""
