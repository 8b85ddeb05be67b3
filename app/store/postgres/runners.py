"""What the lanes' threads do with a batch: read at one moment, change one by one, or change together."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from ...errors import CommitUnknown, NotFound, StoreUnavailable
from ..sql.group_commit import Operation, Result
from .session import Session

Publish = Callable[[set[str]], None]

CONNECT = "connect"
"""Work of a lane that only makes sure of its connection."""


class Runner(ABC):
    """A batch runner over one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def open(self) -> None:
        """See `BatchRunner`. Where the server has no connection left, the session connects when there is work."""
        with suppress(StoreUnavailable):
            self.session.open()

    def close(self) -> None:
        """See `BatchRunner`."""
        self.session.close()

    def run(self, batch: list[Operation]) -> list[Result]:
        """See `BatchRunner`."""
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

    def run_all(self, batch: list[Operation]) -> list[Result]:
        """Run a batch. What fails together is tried one by one, so that nobody fails for another's sake."""
        try:
            values = self.together([operation.work for operation in batch])
        except Exception as error:  # noqa: BLE001  told to the callers whose operations they are
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
        """The results of a batch, or errors in their places; raises what the whole batch fails by."""


class Reading(Runner):
    """All reads of a batch see one moment."""

    def together(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        """See `Runner.together`."""
        with self.session.snapshot():
            return [_outcome(work) for work in works]


class OneByOne(Runner):
    """Each operation is a transaction of its own."""

    def __init__(self, session: Session, publish: Publish) -> None:
        super().__init__(session)
        self._publish = publish

    def run_all(self, batch: list[Operation]) -> list[Result]:
        """See `Runner.run_all`."""
        return [result for operation in batch for result in super(OneByOne, self).run_all([operation])]

    def together(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        """See `Runner.together`."""
        values = [work() for work in works]
        self._publish(self.session.touched)
        return values


class Together(Runner):
    """All operations of a batch are one transaction, of few statements; or those of each part of it."""

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

    def run_all(self, batch: list[Operation]) -> list[Result]:
        """See `Runner.run_all`."""
        if self._parts is None or len(batch) == 1:
            return super().run_all(batch)
        return [result for part in self._parts(batch) for result in super(Together, self).run_all(part)]

    def together(self, works: Sequence[Any]) -> Sequence[Any]:
        """See `Runner.together`."""
        values = self._apply(works)
        self._publish(self.session.touched)
        return values


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except NotFound as error:
        return error
