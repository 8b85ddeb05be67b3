"""The command `agentq`, with one module for each group of commands: processes, database, keys, audit, doctor."""
