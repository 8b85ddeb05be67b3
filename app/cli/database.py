"""Commands that change the database."""

from ..startup import await_engines
from .commands import group
from .settings_help import EPILOG
from .store_command import SettingsCommand, works_with_settings

app = group()


@app.command(epilog=EPILOG)
@works_with_settings
async def migrate(command: SettingsCommand) -> None:
    """Bring the database up to date, then end."""
    await await_engines(command.settings)
    if command.terminal.as_json:
        kind = command.settings.database_url.partition(":")[0]
        command.terminal.record({"database": kind, "up_to_date": True})
    else:
        command.terminal.line("The database is up to date.")
