"""Other queues, run unmodified with their documented defaults; each module runs in an environment of its own."""
