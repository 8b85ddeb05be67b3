"""Runs `python -m app.cli` as `agentq`."""

from .main import main

if __name__ == "__main__":
    main()
