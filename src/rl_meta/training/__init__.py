"""Configuration, the loop, and runs on disk."""
