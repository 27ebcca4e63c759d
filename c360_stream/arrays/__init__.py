"""Arrays that grow, are kept in few bytes, or are found by hash."""
