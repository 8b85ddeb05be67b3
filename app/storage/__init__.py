"""Measures what tenants store, in small parts."""
