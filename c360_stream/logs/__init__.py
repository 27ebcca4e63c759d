"""What a process says of itself on stderr, one line an event: `events` has what there is to say, `lines` how."""
