"""Replies to calls of methods."""

from a2a.utils.errors import A2AError, MethodNotFoundError, VersionNotSupportedError
from starlette.responses import Response

from ...errors import AgentQueueError, InvalidRequest
from .calls import Call, Headers
from .dialects import DIALECTS, OLD_VERSION, VERSION, Dialect
from .methods import METHODS, Exchange
from .rpc import RefusedCall, Rpc, call_of, error_for, error_reply


async def reply_to(call: Call, headers: Headers, body: bytes) -> Response:
    """Return the reply to a call. Raises AgentQueueError for what concerns the caller or the server."""
    try:
        rpc = call_of(body)
    except RefusedCall as refused:
        return error_reply(refused.request_id, refused.error)
    try:
        return await _carried_out(call, headers, rpc)
    except A2AError as error:
        return error_reply(rpc.id, error)
    except AgentQueueError as error:
        told = error_for(error)
        if told is None:
            raise
        return error_reply(rpc.id, told)


async def _carried_out(call: Call, headers: Headers, rpc: Rpc) -> Response:
    """Carry out a call. Raises A2AError and AgentQueueError."""
    dialect = dialect_of(rpc.method, headers.version)
    name = dialect.method_of(rpc.method)
    assert name is not None, "the dialect was found by it"
    method = METHODS[name]
    call.require(method.scope, rpc.method)
    request = dialect.request_of(rpc.method, rpc.params)
    if request.tenant:
        raise InvalidRequest("tenant: the tenant is that of the credential. Leave the field out", field="tenant")
    return await method.run(Exchange(call, headers, dialect, rpc.id), request)


def dialect_of(method: str, version: str) -> Dialect:
    """Return the version of the protocol that has a method. Raises A2AError.

    Clients that name no version are served by the names of their methods.
    """
    major = version.strip().partition(".")[0]
    if version and major not in (VERSION[0], OLD_VERSION[0]):
        raise VersionNotSupportedError(f"This server speaks the versions {VERSION} and {OLD_VERSION} of A2A.")
    for dialect in DIALECTS:
        if dialect.method_of(method) is not None:
            if version and major != dialect.version[0]:
                told = f"The method {method} belongs to A2A {dialect.version}, and the header names {version}."
                raise VersionNotSupportedError(told)
            return dialect
    raise MethodNotFoundError(f"There is no method {method[:100]!r}.")
