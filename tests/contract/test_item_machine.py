"""LangGraph's own store in memory and ours do the same, operation by operation, on every engine."""

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, Op, PutOp, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore

from tests.clock import ManualClock
from tests.contract.backends import BACKENDS, StoreFactory
from tests.contract.builders import ALL
from tests.contract.item_tools import graph_store

T = TypeVar("T")

LABELS = st.sampled_from(["a", "b", "ab", "a-", "é", "🙂 ", "\uffff"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
PREFIXES = st.lists(LABELS, max_size=2).map(tuple)
PATTERNS = st.lists(st.one_of(LABELS, st.just("*")), min_size=1, max_size=2).map(tuple)
KEYS = st.sampled_from(["k", "", "é k", 'quoted "\\'])
NUMBERS = st.one_of(
    st.integers(-3, 3), st.integers(2**53 - 1, 2**53), st.sampled_from([0.5, -0.0, 1e300, 5e-324, 0.1 + 0.2])
)
TEXTS = st.sampled_from(["", "a", "b", "é", "🙂", "\uffff", '"\\/\n', "1", "true"])
SCALARS = st.one_of(NUMBERS, TEXTS, st.none())
# Python's `True == 1` is not JSON's, so booleans have a name of their own.
NAMES = st.sampled_from(["s", "é", "in.ner", '"', "0"])
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=2)),
    max_leaves=4,
)
VALUES = st.fixed_dictionaries(
    {"n": NUMBERS}, optional={"s": SCALARS, "tree": TREES, "flag": st.sampled_from([True, False])}
)
COMPARED = st.dictionaries(
    st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"]), NUMBERS, min_size=1, max_size=2
)
FILTERS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.one_of(NUMBERS, COMPARED),
            "s": st.one_of(SCALARS, st.fixed_dictionaries({"$ne": SCALARS}), st.fixed_dictionaries({"$eq": SCALARS})),
            "tree": st.one_of(TREES, st.fixed_dictionaries({"$ne": TREES}), st.fixed_dictionaries({"$eq": TREES})),
            "flag": st.sampled_from([True, False, None, {"$ne": True}]),
            "missing": st.sampled_from([None, 1, {"$ne": 1}, {"a": 1}]),
        },
    ),
)
GETS = st.builds(GetOp, NAMESPACES, KEYS)
PUTS = st.builds(PutOp, NAMESPACES, KEYS, st.one_of(VALUES, VALUES, VALUES, st.none()), st.none(), st.none())
SEARCHES = st.builds(SearchOp, PREFIXES, FILTERS, st.just(ALL), st.just(0), st.sampled_from([None, "a query"]))
MATCHES = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), PATTERNS)
LISTINGS = st.builds(
    ListNamespacesOp,
    st.one_of(st.none(), st.lists(MATCHES, max_size=2).map(tuple)),
    st.one_of(st.none(), st.integers(1, 3)),
    st.integers(0, 5),
    st.integers(0, 3),
)
BATCHES = st.lists(st.one_of(PUTS, PUTS, GETS, SEARCHES, LISTINGS), min_size=1, max_size=6)


def plain(result: Any) -> Any:
    """A result without its times and, for a search, its order."""
    match result:
        case [SearchItem(), *_]:
            return sorted(repr((each.namespace, each.key, shown(each.value))) for each in result)
        case Item():
            return result.namespace, result.key, shown(result.value)
        case _:
            return result


def shown(value: Any) -> Any:
    """A value whose numbers and booleans can be told apart, with its keys in one order."""
    match value:
        case dict():
            return sorted((key, shown(each)) for key, each in value.items())
        case list():
            return list(map(shown, value))
        case _:
            return type(value).__name__, value


class ItemMachine(RuleBasedStateMachine):
    """Does everything to both stores."""

    def __init__(self, factory: StoreFactory) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.runner = asyncio.Runner()
        self.loop = self.runner.get_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.store = factory(Path(self.folder.name), self.clock)
        self.run(self.store.open())
        self.model = InMemoryStore()
        self.updated: dict[tuple[tuple[str, ...], str], int] = {}

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def ours(self, ops: list[Op]) -> list[Any]:
        return await graph_store(self.store).abatch(ops)

    def of_model(self, ops: list[Op]) -> list[Any]:
        results = self.model.batch(ops)
        # LangGraph's store also lists namespaces whose items are gone, and those that were only read.
        for namespace in [name for name, items in self.model._data.items() if not items]:
            del self.model._data[namespace]
        return results

    @rule(ops=BATCHES, seconds=st.integers(0, 1))
    def do(self, ops: list[Op], seconds: int) -> None:
        self.clock.advance(seconds)
        expected = [None if isinstance(op, PutOp) else self.of_model([op])[0] for op in ops]
        self.of_model([op for op in ops if isinstance(op, PutOp)])  # reads see what was there before the writes
        for op in ops:
            if isinstance(op, PutOp):
                self.updated[op.namespace, op.key] = self.clock.milliseconds
        assert list(map(plain, self.run(self.ours(ops)))) == list(map(plain, expected))

    @rule(prefix=PREFIXES, wanted=FILTERS, limit=st.integers(1, 3))
    def search_by_pages(self, prefix: tuple[str, ...], wanted: dict[str, Any] | None, limit: int) -> None:
        found = {(each.namespace, each.key) for each in self.model.search(prefix, filter=wanted, limit=ALL)}
        pages: list[tuple[tuple[str, ...], str]] = []
        while True:
            (page,) = self.run(self.ours([SearchOp(prefix, wanted, limit, len(pages))]))
            pages += [(each.namespace, each.key) for each in page]
            if len(page) < limit:
                break
        assert pages == sorted(found, key=lambda name: (-self.updated[name], name))


@pytest.mark.parametrize("backend", BACKENDS)
def test_operations_do_what_langgraphs_own_store_does(backend: str) -> None:
    run_state_machine_as_test(
        lambda: ItemMachine(BACKENDS[backend]),  # type: ignore[arg-type]  # it calls this
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            derandomize="CI" in os.environ,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
