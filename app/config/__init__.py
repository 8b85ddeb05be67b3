"""Reads settings from the environment and from `.env`, checks them, and shows them without secrets."""

from .display import SettingSource, place_of, shown_settings
from .loading import load_settings, misspelt_settings, share_environment
from .settings import CHECKPOINT_HISTORY, Settings
from .values import signing_keys

__all__ = [
    "CHECKPOINT_HISTORY",
    "SettingSource",
    "Settings",
    "load_settings",
    "misspelt_settings",
    "place_of",
    "share_environment",
    "shown_settings",
    "signing_keys",
]
