"""Trained agents as programs for other runtimes."""
