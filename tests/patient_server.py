"""Run the server with a distant last resort, as a process of its own. What ends it earlier is its own stop."""

from app import main
from app.startup import run

STOP_SECONDS = 60.0

if __name__ == "__main__":
    main.STOP_SECONDS = STOP_SECONDS
    run(main.serve)
