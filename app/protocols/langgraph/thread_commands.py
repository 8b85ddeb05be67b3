"""The endpoint of the agent protocol's commands: starts runs of a thread, and answers its questions."""

import json
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from ...access.principals import Principal
from ...access.scopes import AccessScope, needs
from ...api.deps import ActorDep, PrincipalDep, ServicesDep, ThreadIdDep, body_of
from ...api.field_errors import field_error
from ...api.replies import JsonReply
from ...errors import AgentQueueError, Conflict, Forbidden, InvalidRequest, NotFound, NotInterrupted
from ...models.audit import Actor
from ...models.requests import ResumeAnswer
from ...services import Services
from ..questions import answer_question, question_of, require_control
from ..routing import KeyNameDep
from .routing import make_router
from .run_creation import create_run
from .schemas.agent_protocol import InputRespond, RunStart, ThreadCommand

router = make_router()

M = TypeVar("M", bound=BaseModel)
Result = dict[str, Any]

META = {"applied_through_seq": 0}
"""A command applies no event: clients begin to read behind a greater number, and would miss the events before."""


class Client(NamedTuple):
    """The client that sends a command, and the Idempotency-Key of its request."""

    services: Services
    caller: Principal
    by: Actor
    key: str | None


class CommandError(AgentQueueError):
    """A command that is refused, with the protocol's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@router.post("/threads/{thread_id}/commands")
@needs(AccessScope.SUBMIT)
async def command(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    by: ActorDep,
    key: KeyNameDep,
    thread_id: ThreadIdDep,
) -> Response:
    """Carry out a command. What the caller can mend is told in the reply, everything else by the status.

    An Idempotency-Key is for `run.start`. A question takes one answer, so answers need none.
    """
    given = await body_of(request, ThreadCommand)
    reply: Result
    try:
        result = await _carry_out(Client(services, principal, by, key), thread_id, given)
        reply = {"type": "success", "id": given.id, "result": result, "meta": META}
    except (CommandError, InvalidRequest, NotFound, Conflict, Forbidden) as error:
        reply = {"type": "error", "id": given.id, "error": _code_of(error), "message": str(error), "meta": META}
    return JsonReply(json.dumps(reply))


async def _carry_out(client: Client, thread_id: str, given: ThreadCommand) -> Result:
    carry_out = _COMMANDS.get(given.method)
    if carry_out is None:
        told = f"Unknown protocol command: {given.method}. This server takes {', '.join(_COMMANDS)}."
        raise CommandError("unknown_command", told)
    return await carry_out(client, thread_id, given.params or {})


async def _start(client: Client, thread_id: str, params: Result) -> Result:
    services, caller, by, key = client
    body = _parsed(RunStart, params)
    if body.answers:
        raise CommandError("invalid_argument", "command.resume: answer with the command input.respond")
    run = await create_run(services, caller, thread_id, body, key=key, by=by)
    services.changes.hint(thread_id)  # streams of the thread wait for its first event
    return {"run_id": run.id}


async def _respond(client: Client, thread_id: str, params: Result) -> Result:
    services, caller, by, _ = client
    given = _parsed(InputRespond, params)
    for name, value in (("update", given.update), ("goto", given.goto)):
        if value is not None:
            raise CommandError("not_supported", f"{name}: an answer changes nothing else. Leave the field out.")
    answers = given.answers
    if not answers:
        raise CommandError("invalid_argument", "input.respond requires an interrupt_id.")
    require_control(caller, "input.respond")
    found = await question_of(services, caller, thread_id)
    asked = [] if found is None else [each["id"] for each in json.loads(found.interrupt or "[]")]
    if found is None or not answers.keys() <= set(asked):
        unknown = next(each for each in answers if each not in asked)
        raise CommandError("no_such_interrupt", f"Unknown or already answered interrupt: {unknown}")
    message = await services.queue.get(caller, found.id)
    await answer_question(services, caller, message, ResumeAnswer(values=answers), field="responses", by=by)
    return {}


def _parsed(model: type[M], params: Result) -> M:
    """Return the parameters of a command. Raises CommandError, which names the field that does not fit."""
    try:
        return model.model_validate_json(json.dumps(params))
    except ValidationError as error:
        wrong, *_ = error.errors(include_url=False, include_input=False)
        told = field_error(wrong, model)
        raise CommandError("invalid_argument", f"{told.field}: {told.detail}") from None


def _code_of(error: AgentQueueError) -> str:
    """Return the protocol's code of a refusal."""
    match error:
        case CommandError():
            return error.code
        case NotInterrupted():
            return "no_such_interrupt"
        case Forbidden():
            return "permission_denied"
        case Conflict():
            return "unknown_error"
        case _:
            return "invalid_argument"


_COMMANDS: Mapping[str, Callable[[Client, str, Result], Coroutine[Any, Any, Result]]] = MappingProxyType(
    {"run.start": _start, "input.respond": _respond}
)
