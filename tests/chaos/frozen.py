"""Imported last by the process that forks: it reads the dashboard's files, and its forks' collector passes over it all.

A server collects twice while it starts. Without this, each collection visits and copies the memory of all imports.
"""

import gc

from app.dashboard.routes import dashboard_routes

dashboard_routes()
gc.collect()
gc.freeze()
