"""The subcommands of `rl-meta`, one file each: options, and what is done with them."""
