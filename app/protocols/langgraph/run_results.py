"""Holds replies until a run has ended, and makes its result."""

import json
from typing import Any

from starlette.responses import Response
from typing_extensions import override

from ...access.principals import Principal
from ...errors import AgentQueueError, AgentUnavailable, NotFound, Unauthorized
from ...errors.threads import AgentCodeFailed, AgentWithoutState
from ...models.audit import Actor
from ...services import Services
from ..held_replies import HeldReply
from ..runs import Run
from .run_lookup import path_of

ENDED = "Your access ended before the run did. Join it with another key."


class RunReply(HeldReply):
    """Sends the values after a run. Clients raise an error that is in their place."""

    @override
    def refusal(self) -> bytes:
        return self.failure(Unauthorized(ENDED))

    @override
    def failure(self, error: AgentQueueError) -> bytes:
        return json.dumps(_error_of(error)).encode()


def held_reply(
    services: Services, caller: Principal, run: Run, *, with_result: bool = True, cancels_as: Actor | None = None
) -> Response:
    """Return the reply that has the values after a run, or with `with_result` False an empty object."""

    async def result(ended: dict[str, Any]) -> str:
        return json.dumps(await result_of(services, caller, run, ended) if with_result else {})

    headers = {"Content-Location": path_of(run), "Location": f"{path_of(run)}/join"}
    return RunReply(services, caller, run, result, headers=headers, cancels_as=cancels_as)


async def result_of(services: Services, caller: Principal, run: Run, ended: dict[str, Any]) -> Any:
    """Return the values after a run with its questions, or its error. `ended` is the data of the run's last event."""
    if ended.get("error") is not None:
        return {"__error__": {"error": ended["code"], "message": ended["error"]}}
    try:
        values = json.loads((await services.threads.read_state_after(caller, run.message.id)).text)["values"]
    except AgentWithoutState:
        message = await services.queue.get(caller, run.message.id)
        return message.result if message.output is None else json.loads(message.output)
    except (AgentUnavailable, AgentCodeFailed, NotFound) as error:  # the status is sent already
        return _error_of(error)
    return {**values, "__interrupt__": ended["interrupts"]} if "interrupts" in ended else values


def _error_of(error: AgentQueueError) -> dict[str, Any]:
    return {"__error__": {"error": error.code, "message": str(error)}}
