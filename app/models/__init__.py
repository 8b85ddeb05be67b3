"""What the parts of the system hand to each other: plain data by subject, without I/O and HTTP."""
