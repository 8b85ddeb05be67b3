"""Measures the calls of a store, by the methods of its ports, and counts what they changed."""

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from ..errors import StoreError
from ..models.attempts import Claim
from ..models.messages import Accepted, Message, MessageState
from ..observability.recorder import Recorder
from .ports import Store

Arguments = Sequence[Any]


def _added(recorder: Recorder, _: Arguments, accepted: Accepted) -> None:
    if not accepted.replayed:
        for message in accepted.messages:
            recorder.submitted(message.agent, message.priority)


def _cancelled(recorder: Recorder, _: Arguments, message: Message) -> None:
    if message.state is MessageState.CANCELLED:
        recorder.cancelled(message.agent)


def _claimed(recorder: Recorder, _: Arguments, claims: Sequence[Claim]) -> None:
    for claim in claims:
        recorder.claimed(claim)


COUNTED: Mapping[str, Callable[[Recorder, Arguments, Any], None]] = {
    "add": _added,
    "append": lambda recorder, arguments, _: recorder.events_written(len(arguments[1])),
    "cancel": _cancelled,
    "check_counts": lambda recorder, _, found: recorder.counters_repaired(len(found)),
    "claim": _claimed,
    "expire_interrupts": lambda recorder, _, count: recorder.questions_expired(count),
    "requeue": lambda recorder, _, messages: recorder.requeued(len(messages)),
    "rescue": lambda recorder, _, count: recorder.leases_expired(count),
}
"""Counts after a call that succeeded, from its arguments and its result."""


class MeasuredStore:
    """Passes all calls on to a store. Records the time, the result and the error of each asynchronous call."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self.now = store.now  # read several times for each request

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the store. A method of the ports is measured, and kept for its next call."""
        if name not in _asynchronous_methods():
            return getattr(self._store, name)
        method = _measured(name, self._store, self._recorder)
        setattr(self, name, method)
        return method


@cache
def _asynchronous_methods() -> frozenset[str]:
    """Return the names of the asynchronous methods of the ports."""
    methods = {name: getattr(Store, name) for name in dir(Store)}
    return frozenset(name for name, method in methods.items() if inspect.iscoroutinefunction(method))


def _measured(verb: str, store: Store, recorder: Recorder) -> Callable[..., Awaitable[Any]]:
    """Return the method `verb` of the store, measured."""
    count = COUNTED.get(verb)
    observe = recorder.store_timer(verb)
    clock = time.perf_counter

    async def call(*arguments: Any, **options: Any) -> Any:
        method: Callable[..., Awaitable[Any]] = getattr(store, verb)
        began = clock()
        try:
            result = await method(*arguments, **options)
        except StoreError as error:
            recorder.store_failed(verb, error.code)
            raise
        finally:
            observe(clock() - began)
        if count is not None:
            count(recorder, arguments, result)
        return result

    return call


def measured(store: Store, recorder: Recorder) -> Store:
    """Return a store whose calls are measured."""
    return cast(Store, MeasuredStore(store, recorder))
