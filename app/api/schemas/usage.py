"""Replies about usage."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from ...access.quotas import QuotaUse
from ...models.limits import Period
from ...models.types import Moment
from ...models.usage import GroupUsage, ModelUsage, Tokens, UsageGroup
from ...policy.usage_table import token_fields, usage_row
from .examples import USED, example


class TokensView(BaseModel):
    """Model calls, their tokens and their cost."""

    calls: int = Field(description="Number of model calls.")
    input_tokens: int
    cached_tokens: int = Field(description="Input tokens that the provider had in its cache, a part of `input_tokens`.")
    output_tokens: int
    reasoning_tokens: int = Field(description="A part of `output_tokens`.")
    total_tokens: int = Field(description="Input and output tokens.")
    cost: str | None = Field(
        description="US dollars as a decimal number, at the prices of the time of each call. Null if no price is known."
    )
    cost_complete: bool = Field(description="Whether the prices of all calls are known. If not, the cost is too low.")


class ModelUsageView(TokensView):
    """The calls of one model."""

    model: str


class UsageView(TokensView):
    """The usage of all attempts of a message: the sums, and the same by model."""

    models: list[ModelUsageView]

    @classmethod
    def of(cls, usage: Sequence[ModelUsage]) -> "UsageView | None":
        """Return the view of a message's usage; None if there is none."""
        if not usage:
            return None
        total = Tokens()
        for each in usage:
            total = total.plus(each.tokens)
        models = [ModelUsageView.model_construct(model=each.model, **token_fields(each.tokens)) for each in usage]
        return cls.model_construct(models=models, **token_fields(total))


class GroupView(BaseModel):
    """The fields by which a row is grouped. Other fields are null."""

    hour: Moment | None = Field(description="The begin of the hour.")
    day: str | None = Field(description="The day in UTC, such as `2026-11-29`.")
    tenant: str | None
    key: str | None = Field(description="The id of the API key. Null for messages that no key submitted.")
    subject: str | None = Field(description="The end user. Null for messages without one.")
    agent: str | None
    model: str | None


class UsageRow(TokensView, GroupView):  # the fields of the last class come first
    """The usage of one group."""

    @classmethod
    def of(cls, groups: frozenset[UsageGroup], usage: GroupUsage) -> "UsageRow":
        """Return the row of a group."""
        return cls.model_construct(**{**dict.fromkeys(GroupView.model_fields), **usage_row(groups, usage)})


class QuotaView(BaseModel):
    """A quota, and what is left of it."""

    of: str = Field(description="Whose quota it is: `tenant`, `key` or `subject`.")
    unit: str = Field(description="`messages` or `tokens`.")
    period: Period
    limit: int
    used: int
    left: int
    resets_at: Moment = Field(description="When the next day or month begins.")

    @classmethod
    def of_use(cls, use: QuotaUse) -> "QuotaView":
        """Return the view of a quota."""
        return cls.model_construct(
            of=use.limited.name.lower(),
            unit=use.unit,
            period=use.period,
            limit=use.limit,
            used=use.used,
            left=use.left,
            resets_at=use.resets_at,
        )


class UsageReport(BaseModel):
    """Usage by groups, in the order of their names."""

    model_config = example(
        since="2026-11-01T00:00:00.000Z",
        until="2026-12-01T00:00:00.000Z",
        group_by=["day", "model"],
        currency="USD",
        rows=[
            {
                **dict.fromkeys(("hour", "tenant", "key", "subject", "agent")),
                "day": "2026-11-29",
                "model": "gpt-4o",
                **USED,
            }
        ],
        quotas=[
            {
                "of": "tenant",
                "unit": "tokens",
                "period": "month",
                "limit": 50_000_000,
                "used": 12_345,
                "left": 49_987_655,
                "resets_at": "2026-12-01T00:00:00.000Z",
            }
        ],
    )

    since: Moment
    until: Moment = Field(description="The end of the window. Usage of this time is not included.")
    group_by: list[UsageGroup]
    currency: str = Field(description="The currency of each `cost`: always `USD`.")
    rows: list[UsageRow]
    quotas: list[QuotaView] = Field(
        description="What is left of the quotas of the tenant, of the caller's API key and of the end user. They count "
        "in days and months of UTC, whatever the window of the report."
    )

    @classmethod
    def of(
        cls,
        window: tuple[datetime, datetime],
        groups: frozenset[UsageGroup],
        found: Sequence[GroupUsage],
        quotas: Sequence[QuotaUse],
    ) -> "UsageReport":
        """Return the reply with these groups."""
        return cls.model_construct(
            since=window[0],
            until=window[1],
            group_by=[group for group in UsageGroup if group in groups],
            currency="USD",
            rows=[UsageRow.of(groups, each) for each in found],
            quotas=list(map(QuotaView.of_use, quotas)),
        )
