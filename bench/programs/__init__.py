"""What runs as a process of its own while something is measured."""
