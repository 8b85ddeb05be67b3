"""The calls of the API as data. Both clients send them, and read nothing that is not described here."""
