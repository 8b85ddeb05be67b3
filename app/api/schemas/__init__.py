"""The bodies of requests, replies and events, by subject."""
