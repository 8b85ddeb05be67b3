"""The log of a message: ids 1..n without gaps, one terminal event, last; what it tells is what is stored."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from app.errors import MessageNotFound
from app.models.attempts import Completed, Failed, Lease, Released
from app.models.events import TERMINAL_EVENTS, Event, EventPage, EventType, NewEvent
from app.models.messages import IfBusy, MessageState, new_message_id
from app.models.usage import ModelUsage, Tokens
from app.store.limits import PAGE_LOG_LENGTH
from app.store.ports import Store
from app.text import rfc3339
from tests.clock import ManualClock
from tests.contract.builders import (
    CANCELLED,
    DONE,
    ENDS,
    FAILED,
    INTERRUPTED,
    LEASE_SECONDS,
    OUTCOMES,
    RETRIED,
    TENANT,
    add,
    cancel_running,
    chunk,
    claim,
    claim_one,
    log,
    page,
    resume,
    start,
)

ODD_TEXT = '👍🏽 "quotes" \\ \n\r\n\u2028\u2029\u0085 \x01\x1f\x7f </script> é e\u0301 \ufffd'

Ending = Callable[[Store, ManualClock, Lease], Awaitable[None]]


async def completed(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, Completed(ODD_TEXT))


async def failed(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, Failed(ODD_TEXT, "agent_error"))


async def worker_lost(store: Store, clock: ManualClock, lease: Lease) -> None:
    clock.advance(LEASE_SECONDS)
    await store.rescue(max_crashes=1)


async def cancelled(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, Released("again"))
    await store.cancel(TENANT, lease.message_id)


async def completed_at_the_second_attempt(store: Store, clock: ManualClock, lease: Lease) -> None:
    clock.advance(LEASE_SECONDS)
    await store.rescue()
    await store.finish(await claim_one(store), DONE)


async def cancelled_by_its_worker(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, CANCELLED)


async def cancelled_while_it_ran(store: Store, clock: ManualClock, lease: Lease) -> None:
    await cancel_running(store, lease.message_id)
    await store.finish(lease, DONE)


async def cancelled_by_the_rescue(store: Store, clock: ManualClock, lease: Lease) -> None:
    await cancel_running(store, lease.message_id)
    clock.advance(LEASE_SECONDS)
    await store.rescue()


async def cancelled_as_it_asked(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    await cancel_running(store, lease.message_id)


async def never_answered(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    clock.advance(INTERRUPTED.ttl_seconds)
    await store.expire_interrupts()


async def completed_after_an_answer(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, INTERRUPTED)
    await resume(store, await store.get(TENANT, lease.message_id))
    await store.finish(await claim_one(store), DONE)


async def completed_after_a_retry(store: Store, clock: ManualClock, lease: Lease) -> None:
    await store.finish(lease, RETRIED)
    clock.advance(RETRIED.delay)
    await store.promote()
    await store.finish(await claim_one(store), DONE)


async def cancelled_by_a_message_behind_it(store: Store, clock: ManualClock, lease: Lease) -> None:
    thread = (await store.get(TENANT, lease.message_id)).thread_id
    await add(store, thread=thread, if_busy=IfBusy.INTERRUPT)
    await store.finish(lease, DONE)


ENDINGS: list[Ending] = [
    completed,
    failed,
    worker_lost,
    cancelled,
    completed_at_the_second_attempt,
    cancelled_by_its_worker,
    cancelled_while_it_ran,
    cancelled_by_the_rescue,
    cancelled_as_it_asked,
    never_answered,
    completed_after_an_answer,
    completed_after_a_retry,
    cancelled_by_a_message_behind_it,
]
for_each_ending = pytest.mark.parametrize("end", ENDINGS, ids=lambda ending: ending.__name__)


def assert_one_line_of_ascii_json(event: Event) -> None:
    """Every reader relies on this: the data is sent as it is."""
    assert event.data.isascii()
    assert event.data.isprintable()
    assert isinstance(json.loads(event.data), dict)


async def test_ids_are_dense_and_in_the_order_of_appending(store: Store) -> None:
    lease = await start(store)
    assert await store.append(lease, [chunk(0)]) == 2
    assert await store.append(lease, [chunk(1), chunk(2), chunk(3)]) == 5
    await store.finish(lease, DONE)
    events = await log(store, lease.message_id)
    assert [event.id for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.data for event in events[1:5]] == [chunk(index).data for index in range(4)]


async def test_appending_nothing_writes_nothing(store: Store) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(0)])
    assert await store.append(lease, []) == 2
    assert len(await log(store, lease.message_id)) == 2


async def test_events_come_back_as_they_were(store: Store) -> None:
    lease = await start(store)
    given = [
        NewEvent.chunk("content", ODD_TEXT, 0),
        NewEvent.chunk("tool_call", {"name": "f", "args": {"x": [1, 2.5, None, ODD_TEXT]}}, 1),
        NewEvent.chunk("reasoning", "", 2),
        NewEvent.chunk("content", "x" * 100_000, 3),
        NewEvent.shown("custom", [ODD_TEXT, None, {"discard_from": -1}], path=(ODD_TEXT,)),
        NewEvent.chunk("discard", "", 5, message=ODD_TEXT, kept=True, discard_from=2),
    ]
    await store.append(lease, given)
    events = (await log(store, lease.message_id))[1:]
    assert [(event.type, event.data) for event in events] == given
    for event in events:
        assert_one_line_of_ascii_json(event)
    assert json.loads(events[0].data) == {"type": "content", "chunk": ODD_TEXT, "index": 0}


async def test_many_messages_are_appended_to_at_the_same_time(store: Store) -> None:
    await asyncio.gather(*(add(store) for _ in range(20)))
    leases = [each.lease for each in await claim(store, 20)]

    async def write(lease: Lease) -> None:
        for index in range(0, 50, 2):
            last = await store.append(lease, [chunk(index, lease.message_id), chunk(index + 1, lease.message_id)])
            assert last == index + 3
        await store.finish(lease, DONE)

    await asyncio.gather(*map(write, leases))
    for lease in leases:
        events = await log(store, lease.message_id)
        assert [event.id for event in events] == list(range(1, 53))
        assert [event.data for event in events[1:-1]] == [chunk(i, lease.message_id).data for i in range(50)]


async def test_concurrent_appends_to_one_message_stay_together_and_leave_no_gap(store: Store) -> None:
    lease = await start(store)
    sizes = [1 + number % 4 for number in range(40)]
    given = [[chunk(index, str(number)) for index in range(size)] for number, size in enumerate(sizes)]
    lasts = await asyncio.gather(*(store.append(lease, events) for events in given))
    stored = await log(store, lease.message_id)
    assert [event.id for event in stored] == list(range(1, sum(sizes) + 2))
    for last, events in zip(lasts, given, strict=True):
        assert [event.data for event in stored[last - len(events) : last]] == [event.data for event in events]


@for_each_ending
async def test_a_log_ends_with_its_only_terminal_event(store: Store, clock: ManualClock, end: Ending) -> None:
    lease = await start(store, thread="t")
    await store.append(lease, [chunk(0)])
    assert not TERMINAL_EVENTS & {event.type for event in await log(store, lease.message_id)}
    await end(store, clock, lease)
    events = await log(store, lease.message_id)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert [event.id for event in events if event.type in TERMINAL_EVENTS] == [len(events)]
    for event in events:
        assert_one_line_of_ascii_json(event)


async def test_events_have_the_time_when_they_were_stored(store: Store, clock: ManualClock) -> None:
    lease, expected = await start(store), [clock.now()]
    for events, used in ([chunk(0), chunk(1)], []), (
        [chunk(2), NewEvent.usage([])],
        [ModelUsage("m", Tokens(calls=1))],
    ):
        clock.advance(1.234)
        await store.append(lease, events, used)
        expected += [clock.now()] * len(events)
    clock.advance(1.234)
    await store.finish(lease, DONE)
    expected.append(clock.now())
    clock.advance(1.234)
    for _ in range(2):
        assert [event.at for event in await log(store, lease.message_id)] == expected


@for_each_ending
async def test_the_end_has_its_time(store: Store, clock: ManualClock, end: Ending) -> None:
    lease = await start(store, thread="t")
    clock.advance(1.234)
    await end(store, clock, lease)
    ended = clock.now()
    clock.advance(1)
    times = [event.at for event in await log(store, lease.message_id)]
    assert (times[-1], times) == (ended, sorted(times))


@for_each_ending
async def test_the_terminal_event_tells_what_is_stored(store: Store, clock: ManualClock, end: Ending) -> None:
    lease = await start(store, thread="t")
    clock.advance(1.234)
    await end(store, clock, lease)
    message = await store.get(TENANT, lease.message_id)
    assert message.completed_at is not None
    told = json.loads((await log(store, lease.message_id))[-1].data)
    expected: dict[str, str | None] = {"state": message.state, "completed_at": rfc3339(message.completed_at)}
    if message.state is MessageState.COMPLETED:
        expected["result"] = message.result
    if message.state is MessageState.FAILED:
        expected |= {"error": message.error, "code": message.error_code}
    assert told == expected


@pytest.mark.parametrize("result", ["", ODD_TEXT, "x" * 1_000_000], ids=["empty", "odd", "long"])
async def test_a_result_is_stored_whole(store: Store, result: str) -> None:
    lease = await start(store)
    await store.finish(lease, Completed(result))
    message = await store.get(TENANT, lease.message_id)
    assert (message.state, message.result, message.error) == (MessageState.COMPLETED, result, None)


ODD_OUTPUT = {"completed_at": "1970-01-01T00:00:00.000Z", "attempt": -1, "text": ODD_TEXT, "list": [1, 2.5, None, {}]}


@pytest.mark.parametrize("output", [ODD_OUTPUT, {}, [], "text", 0, None], ids=repr)
async def test_an_output_is_stored_and_told_at_the_end(store: Store, output: object) -> None:
    """A JSON `null` is an output too."""
    lease = await start(store, thread="t")
    await store.finish(lease, Completed(ODD_TEXT, json.dumps(output)))
    message = await store.get(TENANT, lease.message_id)
    assert message.completed_at is not None
    assert (message.result, json.loads(message.output or "")) == (ODD_TEXT, output)
    (listed,) = await store.list_thread_messages(TENANT, "t", after=0, limit=10)
    assert listed.output == message.output
    done = (await log(store, lease.message_id))[-1]
    assert_one_line_of_ascii_json(done)
    assert json.loads(done.data) == {
        "state": "completed",
        "result": ODD_TEXT,
        "completed_at": rfc3339(message.completed_at),
        "output": output,
    }


async def test_a_message_without_an_output_has_none(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, DONE)
    assert (await store.get(TENANT, lease.message_id)).output is None
    assert "output" not in json.loads((await log(store, lease.message_id))[-1].data)


async def test_a_failure_is_stored_with_its_code(store: Store) -> None:
    lease = await start(store)
    await store.finish(lease, Failed(ODD_TEXT, "timeout"))
    message = await store.get(TENANT, lease.message_id)
    assert (message.state, message.result) == (MessageState.FAILED, None)
    assert (message.error, message.error_code) == (ODD_TEXT, "timeout")


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_an_end_is_as_late_as_the_clock_says(store: Store, clock: ManualClock, outcome: object) -> None:
    lease = await start(store)
    clock.advance(7)
    await store.finish(lease, outcome)  # type: ignore[arg-type]  # each outcome in turn
    message = await store.get(TENANT, lease.message_id)
    if outcome not in ENDS:
        assert message.completed_at is None
    else:
        assert message.completed_at is not None
        assert (message.completed_at - message.created_at).total_seconds() == 7


async def test_pages_go_on_behind_any_id(store: Store) -> None:
    lease = await start(store)
    await store.append(lease, [chunk(index) for index in range(10)])
    for after in range(12):
        for limit in (1, 2, 5, 100):
            part = await page(store, lease.message_id, after=after, limit=limit)
            assert [event.id for event in part.events] == list(range(after + 1, 12))[:limit]
            assert (part.first, part.last, part.state) == (1, 11, MessageState.PROCESSING)
    assert list((await page(store, lease.message_id, after=1_000)).events) == []


async def test_a_page_of_long_events_ends_early_but_not_empty(store: Store) -> None:
    lease = await start(store)
    lengths = [PAGE_LOG_LENGTH, 1, PAGE_LOG_LENGTH, 1, 1]
    await store.append(lease, [chunk(index, "x" * length) for index, length in enumerate(lengths)])
    found: list[int] = []
    sizes = []
    while part := (await page(store, lease.message_id, after=len(found))).events:
        found += [event.id for event in part]
        sizes.append(len(part))
    assert found == [1, 2, 3, 4, 5, 6]
    assert sizes == [2, 2, 2]


async def test_the_page_tells_the_state_of_the_same_moment(store: Store) -> None:
    """A reader who sees a terminal state sees the terminal event too, whenever it looks."""
    for _ in range(20):
        lease = await start(store)
        parts: list[EventPage] = []

        async def look(parts: list[EventPage] = parts, lease: Lease = lease) -> None:
            parts.append(await page(store, lease.message_id))

        await asyncio.gather(look(), look(), store.finish(lease, FAILED), look())
        assert len(parts) == 3
        for part in parts:
            ended = part.events[-1].type is EventType.ERROR
            assert ended == (part.state is MessageState.FAILED)
            assert part.last == part.events[-1].id


async def test_the_log_of_an_unknown_message_is_not_found(store: Store) -> None:
    for unknown in (new_message_id(), "", "no id"):
        with pytest.raises(MessageNotFound):
            await page(store, unknown)
