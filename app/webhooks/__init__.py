"""Delivers webhooks to the URLs that callers gave."""
