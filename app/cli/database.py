"""Commands that change the database."""

from .commands import group
from .settings_help import EPILOG

app = group()


@app.command(epilog=EPILOG)
def migrate() -> None:
    """Bring the database up to date, then end."""
    from ..main import migrate, run

    run(migrate)
