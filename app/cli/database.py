"""Commands that change the database."""

from ..main import migrate
from .command import Command

COMMANDS = (Command("migrate", migrate, "bring the database up to date, then end"),)
