"""The store on one SQLite file (APSW, WAL)."""
