"""A trained agent over HTTP: many clients, each with a lifetime of its own."""
