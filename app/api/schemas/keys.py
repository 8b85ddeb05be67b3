"""Bodies of requests for API keys, and replies with keys."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from ...access.management import DEFAULT_GRACE, DEFAULT_SCOPES, MAX_DAYS, MAX_NAME_LENGTH, IssuedKey
from ...access.scopes import AccessScope
from ...config import signing_keys
from ...models.keys import ApiKey, KeyCounts, KeyLimits
from ...models.messages import DEFAULT_TENANT
from ...models.tenants import Quotas
from ...models.types import Moment, Subject, Text, TimeText
from .examples import CREATED, ENDED, example
from .submissions import MAX_URL_LENGTH
from .tenants import SMALL_QUOTAS_EXAMPLE, Limit, QuotasView

KEY_EXAMPLE: dict[str, Any] = {
    "id": "4Vt0rM2kXq9B",
    "tenant": "default",
    "name": "web shop",
    "scopes": ["submit", "read"],
    "created_at": CREATED,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": ENDED,
    "previous_until": None,
    "webhook_url": None,
    "signs_webhooks": False,
    "limits": {"submits_per_minute": None},
    "quotas": SMALL_QUOTAS_EXAMPLE,
}


def _signs(secret: SecretStr) -> SecretStr:
    """Return the secret. Raises ValueError if it cannot sign webhooks."""
    signing_keys(secret.get_secret_value())
    return secret


class KeyLimitsView(BaseModel):
    """Limits of a key. Null stands for the server's setting, 0 for no limit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [KEY_EXAMPLE["limits"]]})

    submits_per_minute: Limit | None = Field(None, description="Messages that the key may submit in a minute.")


class KeyCreate(BaseModel):
    """A key to make."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "web shop", "scopes": ["submit", "read"]}]}
    )

    name: Annotated[Text, Field(max_length=MAX_NAME_LENGTH)] = Field("", description="What the key is for.")
    tenant: Subject = Field(DEFAULT_TENANT, description="The tenant whose data the key may use.")
    scopes: Annotated[list[AccessScope], Field(min_length=1, max_length=len(AccessScope))] = Field(
        list(DEFAULT_SCOPES), description="What the key may do: only what the caller may do."
    )
    expires_at: TimeText | None = Field(
        None,
        description="When the key expires: at most 100 years from now, and not after the caller. Null means never.",
    )
    webhook_url: Annotated[Text, Field(min_length=1, max_length=MAX_URL_LENGTH)] | None = Field(
        None, description="The webhook of messages that are submitted with the key and name none."
    )
    webhook_secret: Annotated[SecretStr, AfterValidator(_signs)] | None = Field(
        None,
        description="Signs the webhooks of all messages that are submitted with the key: `whsec_` and 24 to 64 bytes "
        "in base64, or two of these with a space between. Null means the server's `WEBHOOK_SECRET`. It is never shown.",
    )
    limits: KeyLimitsView = Field(default_factory=KeyLimitsView)
    quotas: QuotasView = Field(default_factory=QuotasView)

    @property
    def counts(self) -> KeyCounts:
        """Return the limits and quotas."""
        return KeyCounts(KeyLimits(**self.limits.model_dump()), Quotas(**self.quotas.model_dump()))


class KeyChange(BaseModel):
    """The limits and quotas to change. Fields that are not given stay as they are. Null gives a field its default."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"limits": {"submits_per_minute": 60}}]})

    limits: KeyLimitsView | None = None
    quotas: QuotasView | None = None


class KeyRotate(BaseModel):
    """How to rotate a key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"grace_seconds": 3600}]})

    grace_seconds: Annotated[float, Field(ge=0, le=MAX_DAYS * 86_400, allow_inf_nan=False)] = Field(
        DEFAULT_GRACE.total_seconds(), description="How long the present secret stays good."
    )


class KeyView(BaseModel):
    """An API key, without its secrets."""

    model_config = example(**KEY_EXAMPLE)

    id: str
    tenant: str
    name: str
    scopes: list[AccessScope]
    created_at: Moment
    expires_at: Moment | None = Field(description="Null means never.")
    revoked_at: Moment | None
    last_used_at: Moment | None = Field(description="Up to a minute late.")
    previous_until: Moment | None = Field(description="When the secret before the last rotation ends or ended.")
    webhook_url: str | None = Field(description="The webhook of messages that name none.")
    signs_webhooks: bool = Field(description="Whether the key has a secret that signs webhooks of its messages.")
    limits: KeyLimitsView
    quotas: QuotasView

    @classmethod
    def of(cls, key: ApiKey) -> "KeyView":
        """Return the view of a key."""
        fields = {
            **key._asdict(),
            "scopes": list(map(AccessScope, key.scopes)),
            "limits": KeyLimitsView.model_construct(**key.limits._asdict()),
            "quotas": QuotasView.model_construct(**key.quotas._asdict()),
        }
        return cls.model_construct(**{name: fields[name] for name in KeyView.model_fields})


class KeyIssued(KeyView):
    """A key with its new secret, which is shown only once."""

    model_config = example(
        **KEY_EXAMPLE | {"last_used_at": None}, key="aq_4Vt0rM2kXq9B_5vXWQx7ha3PLp1FtUSiYdKoJz0bE8ncGRm6TAyNq2uk0gH9r4"
    )

    key: str = Field(description="What callers present. Store it now: it cannot be shown again.")

    @classmethod
    def issued(cls, issued: IssuedKey) -> "KeyIssued":
        """Return the view of a key with its secret."""
        return cls.model_construct(**dict(KeyView.of(issued.key)), key=issued.text)


class KeyList(BaseModel):
    """Keys, also expired and revoked ones, by id."""

    keys: list[KeyView]
