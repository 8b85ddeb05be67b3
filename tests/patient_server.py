"""Run the server with a distant last resort, as a process of its own. What ends it earlier is its own stop."""

from app import main

STOP_SECONDS = 60.0

if __name__ == "__main__":
    main.STOP_SECONDS = STOP_SECONDS
    main.run(main.serve)
