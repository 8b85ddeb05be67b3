"""Tasks beside a screen. An error that nobody thought of ends the screen, and is then said as by any other command."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from prompt_toolkit.application import Application


def begin(app: "Application[Any]", work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Start work that ends with the screen."""

    async def do() -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  the command's own end says it
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            if not app.is_done:
                app.exit(exception=error)

    return app.create_background_task(do())
