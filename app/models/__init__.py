"""Plain data that the parts of the system exchange, one module for each subject, without I/O and HTTP."""
