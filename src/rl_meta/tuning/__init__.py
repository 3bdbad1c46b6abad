"""Looking for good settings: many short runs, of which the better ones go on."""
