"""Runs batches: reads on one snapshot, each write in its own transaction, or all writes in one transaction."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from typing_extensions import override

from ...errors import CommitUnknown, NotFound, StoreUnavailable
from ..sql.group_commit import BatchRunner, Operation, Result
from .session import Session

Publish = Callable[[set[str]], None]

CONNECT = "connect"
"""Work that only connects the session of a thread."""


class Runner(BatchRunner, ABC):
    """A batch runner over one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @override
    def open(self) -> None:
        # If the server has no connection left, the session connects when there is work.
        with suppress(StoreUnavailable):
            self.session.open()

    @override
    def close(self) -> None:
        self.session.close()

    @override
    def run(self, batch: list[Operation]) -> list[Result]:
        asked = [operation for operation in batch if operation.work is CONNECT]
        if not asked:
            return self.run_all(batch)
        error: StoreUnavailable | None = None
        try:
            self.session.open()
        except StoreUnavailable as raised:
            error = raised
        rest = [operation for operation in batch if operation.work is not CONNECT]
        return [Result(each.future, None, error) for each in asked] + (self.run_all(rest) if rest else [])

    @override
    def end(self) -> None:
        """Do nothing: the transactions of the batch have ended."""

    def run_all(self, batch: list[Operation]) -> list[Result]:
        """Run a batch. If it fails on an available store, run its operations one by one: only faulty ones then fail."""
        try:
            values = self.together([operation.work for operation in batch])
        except Exception as error:  # noqa: BLE001  the callers get it
            if len(batch) == 1 or isinstance(error, StoreUnavailable | CommitUnknown):
                return [Result(operation.future, None, error) for operation in batch]
            return [result for operation in batch for result in self.run_all([operation])]
        return [
            (
                Result(operation.future, None, value)
                if isinstance(value, BaseException)
                else Result(operation.future, value, None)
            )
            for operation, value in zip(batch, values, strict=True)
        ]

    @abstractmethod
    def together(self, works: Sequence[Any]) -> Sequence[Any]:
        """Return the result or the error of each operation, in order. Raises an error that fails the whole batch."""


class Reading(Runner):
    """Runs the reads of a batch on one snapshot."""

    @override
    def together(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        with self.session.snapshot():
            return [_outcome(work) for work in works]

    @override
    def end(self) -> None:
        self.session.end_snapshot()


class OneByOne(Runner):
    """Runs each operation in a transaction of its own."""

    def __init__(self, session: Session, publish: Publish) -> None:
        super().__init__(session)
        self._publish = publish

    @override
    def run_all(self, batch: list[Operation]) -> list[Result]:
        return [result for operation in batch for result in super(OneByOne, self).run_all([operation])]

    @override
    def together(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        values = [work() for work in works]
        self._publish(self.session.touched)
        return values


class Together(Runner):
    """Runs a batch with few statements in one transaction. `parts` may divide the batch into several transactions."""

    def __init__(
        self,
        session: Session,
        apply: Callable[[Sequence[Any]], Sequence[Any]],
        publish: Publish,
        *,
        parts: Callable[[Sequence[Operation]], Iterable[list[Operation]]] | None = None,
    ) -> None:
        super().__init__(session)
        self._apply = apply
        self._publish = publish
        self._parts = parts

    @override
    def run_all(self, batch: list[Operation]) -> list[Result]:
        if self._parts is None or len(batch) == 1:
            return super().run_all(batch)
        return [result for part in self._parts(batch) for result in super(Together, self).run_all(part)]

    @override
    def together(self, works: Sequence[Any]) -> Sequence[Any]:
        values = self._apply(works)
        self._publish(self.session.touched)
        return values


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except NotFound as error:
        return error
