"""Adaptation to held-out tasks."""
