"""Savers of the agents' memory, one module a backend."""
