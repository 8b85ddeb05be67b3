"""A mapping that never changes, from which larger ones are made cheaply. Pure."""

from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

from typing_extensions import override

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

SMALL = 32
"""Most entries in one part. Most logs have fewer messages and tools than this."""

PARTS = 256


class SharedMap(Mapping[K, V]):
    """A mapping that never changes. A new one with another entry shares all parts but one.

    The time for it grows with the entries of a part, so that a log of 100,000 messages is projected like a short one.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[dict[K, V], ...] = ({},)) -> None:
        self._parts = parts

    @override
    def __getitem__(self, key: K) -> V:
        return self._parts[hash(key) % len(self._parts)][key]

    @override
    def __contains__(self, key: object) -> bool:
        return key in self._parts[hash(key) % len(self._parts)]

    @override
    def __iter__(self) -> Iterator[K]:
        for part in self._parts:
            yield from part

    @override
    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def having(self, key: K, value: V) -> "SharedMap[K, V]":
        """Return the mapping with this entry in place of one with the same key."""
        parts = self._parts
        if len(parts) == 1 and len(parts[0]) >= SMALL:
            spread: tuple[dict[K, V], ...] = tuple({} for _ in range(PARTS))
            for each, its_value in parts[0].items():
                spread[hash(each) % PARTS][each] = its_value
            parts = spread
        at = hash(key) % len(parts)
        return SharedMap((*parts[:at], {**parts[at], key: value}, *parts[at + 1 :]))

    def without(self, key: K) -> "SharedMap[K, V]":
        """Return the mapping without the entry of this key, if it has one."""
        if key not in self:
            return self
        parts = self._parts
        at = hash(key) % len(parts)
        left = {each: value for each, value in parts[at].items() if each != key}
        return SharedMap((*parts[:at], left, *parts[at + 1 :]))
