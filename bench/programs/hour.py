"""Our server with an hour in a minute: `python -m bench.programs.hour`. It drops each second what is older than some.

Besides, its own settings say how old that is. Nothing else is faster than in `python -m app.main`.
"""

from app import maintenance
from app.main import run, serve

if __name__ == "__main__":
    maintenance.PRUNE_SECONDS /= 60
    run(serve)
