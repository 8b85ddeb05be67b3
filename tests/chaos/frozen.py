"""Imported last by the process that forks: its forks' collector passes over what it has imported.

A server collects twice while it starts. Without this, each collection visits and copies the memory of all imports.
"""

import gc

gc.collect()
gc.freeze()
