"""Where environments run, and agents in environments of the user's."""
