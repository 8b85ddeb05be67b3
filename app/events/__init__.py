"""The event log: its one writer, its one reader, and what many readers share."""
