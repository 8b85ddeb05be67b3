"""Replies with the settings of a process."""

from pydantic import BaseModel, ConfigDict, Field

from ...config import Settings, SettingSource, shown_settings
from ...observability.logging import Redactor

Shown = bool | int | float | str | list[str] | dict[str, str] | None


class SettingView(BaseModel):
    """A setting as this process has it."""

    name: str = Field(description="The environment variable.")
    value: Shown = Field(description="The value that is in effect, with `***` for secrets. Null: none.")
    source: SettingSource = Field(
        description="What sets it: a variable of the `environment`, the `file` .env, or nothing, which leaves the "
        "`default`."
    )
    default: Shown = Field(description="The value without a variable. Null: none.")
    differs: bool = Field(description="Whether the value is another than the default, also where both are masked.")
    meaning: str = Field(description="What it is for, in a sentence or two.")
    masked: bool = Field(description="Whether a secret in the value is replaced by `***`.")


class SettingList(BaseModel):
    """All settings, in the order of the reference."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "settings": [
                        {
                            "name": "DATABASE_URL",
                            "value": "postgresql://***@db:5432/agentq",
                            "source": "environment",
                            "default": "sqlite:///data/agent_queue.db",
                            "differs": True,
                            "meaning": "Place of the queue.",
                            "masked": True,
                        },
                        {
                            "name": "MAX_ATTEMPTS",
                            "value": 3,
                            "source": "default",
                            "default": 3,
                            "differs": False,
                            "meaning": "Attempts at a message before it fails for good.",
                            "masked": False,
                        },
                    ]
                }
            ]
        }
    )

    settings: list[SettingView]

    @classmethod
    def of(cls, settings: Settings) -> "SettingList":
        """Return the view of the settings. Also masks text that looks like a key, in whichever setting it is."""
        redact = Redactor().redact
        views = []
        for each in shown_settings(settings):
            shown = each.value
            if isinstance(shown, str):
                shown = redact(shown)
            elif isinstance(shown, list):
                shown = list(map(redact, shown))
            elif isinstance(shown, dict):
                shown = {redact(key): redact(text) for key, text in shown.items()}
            found = {**each._asdict(), "value": shown, "masked": each.masked or shown != each.value}
            views.append(SettingView(**found))
        return cls(settings=views)
