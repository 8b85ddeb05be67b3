"""The names of the settings, for the help of commands that read them."""

from ..config import Settings

EPILOG = "Settings are environment variables, or NAME=value lines in the file .env of this folder: " + (
    ", ".join(name.upper() for name in Settings.model_fields) + "."
)
