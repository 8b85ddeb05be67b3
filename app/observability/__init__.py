"""Logs and outages: everything that operators see of a process."""
