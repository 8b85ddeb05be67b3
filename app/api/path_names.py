"""Names of subjects and tenants in paths. Requests with them are routed as they were sent, see `targets`."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import Path
from pydantic import TypeAdapter, ValidationError

from ..errors import InvalidRequest
from ..models.types import Subject
from .field_errors import detail_of

_subject = TypeAdapter[str](Subject)


def _name_of(field: str, given: str) -> str:
    """Return a percent-decoded name. Raises InvalidRequest if it is no percent-encoded UTF-8 or no valid name."""
    try:
        return _subject.validate_python(unquote(given, errors="strict"))
    except ValidationError as error:
        raise InvalidRequest(f"{field}: {detail_of(error.errors()[0])}", field=field) from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{field}: expected percent-encoded UTF-8", field=field) from None


async def subject_in_path(
    subject: Annotated[str, Path(description="The subject, percent-encoded: `a/b` is `a%2Fb`.", min_length=1)],
) -> str:
    """Return the decoded subject, as a dependency."""
    return _name_of("subject", subject)


async def tenant_in_path(
    tenant: Annotated[str, Path(description="The tenant, percent-encoded: `a/b` is `a%2Fb`.", min_length=1)],
) -> str:
    """Return the decoded tenant, as a dependency."""
    return _name_of("tenant", tenant)
