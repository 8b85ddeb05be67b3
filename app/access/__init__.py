"""Decides who may use the server, and whose data they may use."""
