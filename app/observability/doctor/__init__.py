"""The checks of `agentq doctor` and `GET /doctor`: each reads a few figures and tells what is wrong, with its cure."""
