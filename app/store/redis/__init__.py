"""The store on Redis 6.2 or newer, or Valkey: one Lua script for each method."""
