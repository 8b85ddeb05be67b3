"""Backups: one file with a copy of the queue and of the agents' memory."""
