"""What each subcommand of c360 does."""
