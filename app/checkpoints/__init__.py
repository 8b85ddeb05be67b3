"""Savers of the agents' memory, one module for each backend."""
