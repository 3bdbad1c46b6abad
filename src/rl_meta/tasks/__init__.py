"""Families of tasks in pure JAX."""
