"""The command `agentq`, one module a group of commands: server, workers, database."""
