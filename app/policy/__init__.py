"""Rules without I/O: states, retries, failures, wait estimates."""
