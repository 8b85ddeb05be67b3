"""Makes runs: new messages, and the answers to questions of messages."""

from collections.abc import Sequence

from ...access.principals import Principal
from ...api.request_keys import batch_key, submit_key
from ...errors import InvalidRequest, ThreadNotFound
from ...models.audit import Actor
from ...models.messages import IfBusy, MessageOptions, NewMessage
from ...policy.input_preview import run_preview
from ...services import Services
from ..ids import is_uuid, new_thread_id
from ..runs import Run
from ..turns import first_run, submit_turns
from .agents import agent_of
from .ids import assistant_id_of
from .kept import Kept
from .questions import answer
from .schemas.runs import RunCreate
from .thread_lookup import find_thread


async def create_run(
    services: Services,
    caller: Principal,
    thread_id: str | None,
    body: RunCreate,
    *,
    key: str | None = None,
    by: Actor,
) -> Run:
    """Store a run and return it. With `thread_id` None, it gets a private thread.

    A request whose Idempotency-Key, `key`, came before gets the run of then. Answers need no key, since a question
    takes one answer.

    Raises ThreadNotFound, AssistantNotFound, Forbidden, InvalidRequest, NothingAsked, and what `QueueManager.submit`
    and `QueueManager.resume` raise.
    """
    if thread_id is not None:
        await require_thread(services, caller, thread_id, body)
    if body.answers:
        return await answer(services, caller, thread_id, body, by=by)
    new = _new_message(services, caller, thread_id, body)
    meant = new._replace(thread_id=thread_id)
    named = None if key is None else submit_key(key, meant, services.registry.default)
    return await first_run(services, caller, await submit_turns(services, caller, [new], key=named, by=by))


async def create_runs(
    services: Services,
    caller: Principal,
    wanted: Sequence[tuple[str | None, RunCreate]],
    *,
    key: str | None = None,
    by: Actor,
) -> list[Run]:
    """Store runs with new input, as `submit_turns` does.

    A request whose Idempotency-Key, `key`, came before gets the runs of then. Raises what `create_run` raises.
    """
    new = [_new_message(services, caller, thread_id, body) for thread_id, body in wanted]
    meant = [each._replace(thread_id=thread_id) for each, (thread_id, _) in zip(new, wanted, strict=True)]
    named = None if key is None else batch_key(key, meant, services.registry.default)
    accepted = await submit_turns(services, caller, new, key=named, by=by)
    return [await first_run(services, caller, accepted._replace(messages=[each])) for each in accepted.messages]


async def require_thread(services: Services, caller: Principal, thread_id: str, body: RunCreate) -> None:
    """Raise ThreadNotFound unless the thread exists or the run may make it.

    Raises InvalidRequest as `find_thread` does.
    """
    if body.if_not_exists == "create" and is_uuid(thread_id):
        return
    try:
        await find_thread(services, caller, thread_id)
    except ThreadNotFound:
        if body.if_not_exists != "create":
            raise


def _new_message(services: Services, caller: Principal, thread_id: str | None, body: RunCreate) -> NewMessage:
    """Return the message of a run. A private thread that is to be kept is a thread like any other."""
    given = body.run_input()
    if thread_id is None and (given.goes_on or given.checkpoint_id is not None):
        name = "input" if given.continues else "checkpoint" if given.command is None else "command"
        raise InvalidRequest(f"{name}: a run without a thread has no state. Give it an input.", field=name)
    if body.command is not None and body.input is not None:
        raise InvalidRequest("command: give either an input or a command", field="command")
    agent = agent_of(services, caller, body.assistant_id)
    if thread_id is None and body.on_completion == "keep":
        thread_id = new_thread_id(caller)
    kept = Kept(
        stream_mode=body.modes,
        stream_subgraphs=bool(body.stream_subgraphs),
        multitask_strategy=body.multitask_strategy or IfBusy.ENQUEUE,
    )
    return NewMessage(
        content=body.input if isinstance(body.input, str) else run_preview(given),
        priority=body.priority,
        thread_id=thread_id,
        agent=agent,
        options=MessageOptions(run=given, surface=kept.as_stored()),
        delay_seconds=body.after_seconds or 0.0,
        if_busy=IfBusy.ENQUEUE if thread_id is None else kept.multitask_strategy,
        webhook_url=body.webhook,
        metadata={**body.given_metadata, "graph_id": agent, "assistant_id": assistant_id_of(agent)},
    )
