"""Stores: the ports, one package for each engine, and what both SQL engines share."""
