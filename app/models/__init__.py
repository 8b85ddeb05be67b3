"""Plain data that the parts of the system hand to each other, by subject, without I/O and HTTP."""
