"""Tells what is left of limits by the headers that OpenAI's clients read."""

import re
from typing import NamedTuple

from ...api.surfaces import Headers

POLICY = re.compile(rb'"([^"]+)";q=(\d+)')
LEFT = re.compile(rb'"([^"]+)";r=(\d+);t=(\d+)')


class Left(NamedTuple):
    """The rest of a limit: how many requests or tokens, and the seconds until all of it is left again."""

    left: int
    seconds: int
    policy: bytes


def with_openai_names(headers: Headers) -> Headers:
    """Return the headers of a reply, with `x-ratelimit-…` added if they tell what is left of limits.

    OpenAI has one limit of requests and one of tokens. Of several, the limit of which the least is left is told.
    """
    given = {name: value for name, value in headers if name in (b"ratelimit", b"ratelimit-policy")}
    if len(given) < 2:
        return headers
    most = dict(POLICY.findall(given[b"ratelimit-policy"]))
    lefts = [Left(int(left), int(seconds), policy) for policy, left, seconds in LEFT.findall(given[b"ratelimit"])]
    added: list[tuple[bytes, bytes]] = []
    for unit, tokens in ((b"requests", False), (b"tokens", True)):
        of_unit = [each for each in lefts if (b"-tokens-" in each.policy) is tokens and each.policy in most]
        if of_unit:
            least = min(of_unit, key=lambda each: (each.left, -each.seconds))
            added += [
                (b"x-ratelimit-limit-" + unit, most[least.policy]),
                (b"x-ratelimit-remaining-" + unit, str(least.left).encode()),
                (b"x-ratelimit-reset-" + unit, duration(least.seconds).encode()),
            ]
    return [*headers, *added]


def duration(seconds: int) -> str:
    """Return a number of seconds as OpenAI writes it: `7s`, `1m30s` or `1h0m0s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"
