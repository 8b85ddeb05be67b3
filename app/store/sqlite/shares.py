"""Tells what the shares of tenants do to messages."""

from ..sql.shares import SqlShares


class SqliteShares(SqlShares):
    """Implements `ShareStore`."""
