"""The command `agentq`, with one module for each group of commands. A module is imported when its command is run."""
