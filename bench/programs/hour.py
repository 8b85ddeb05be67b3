"""Our server with faster deletion of old data: `python -m bench.programs.hour`. It deletes once a second.

Its settings define the age of old data. Everything else is as in `python -m app.main`.
"""

from app import maintenance
from app.main import serve
from app.startup import run

if __name__ == "__main__":
    maintenance.PRUNE_SECONDS /= 60
    run(serve)
