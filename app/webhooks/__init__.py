"""Deliveries to the receivers of callers."""
