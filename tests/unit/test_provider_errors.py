"""Errors of providers' clients have a meaning, in the shapes that these clients give them.

The classes here carry what real instances carried, looked at in the versions that `app.policy.provider_errors` names.
"""

import enum
import http
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai
import pytest

from app.policy.provider_errors import address_of
from app.policy.retry import MAX_RETRY_AFTER_SECONDS, Verdict, judge

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = httpx2.Request("POST", "http://model.example")
BILLING = "You exceeded your current quota, please check your plan and billing details."

QUOTA_OF_OPENAI = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs."
)
LATER = Verdict(permanent=False, code="rate_limited")
AWAY = Verdict(permanent=False, code="provider_unavailable")
SLOW = Verdict(permanent=False, code="timeout")
REFUSED = Verdict(permanent=True, code="provider_refused")
USED_UP = Verdict(permanent=True, code="quota_exhausted")
TOO_LONG = Verdict(permanent=True, code="context_too_long")
UNKNOWN = Verdict(permanent=False, code="agent_error")


def of_package(package: str, name: str, *bases: type) -> type[Any]:
    """An exception class of a package, whose instances have the attributes that they are made with."""

    def init(self: Any, text: str = "", **attributes: object) -> None:
        Exception.__init__(self, text)
        self.__dict__.update(attributes)

    return type(name, bases or (Exception,), {"__module__": package, "__init__": init})


# botocore: `response` is a dict


AwsError = of_package("botocore.exceptions", "ClientError")


def aws(code: str, status: int | None = 400, **headers: str) -> Exception:
    metadata = {} if status is None else {"HTTPStatusCode": status, "HTTPHeaders": headers}
    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": metadata}
    error: Exception = AwsError("An error occurred", response=response, operation_name="InvokeModel")
    return error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (aws("ThrottlingException", 429), LATER),
        (aws("ThrottlingException"), LATER),
        (aws("ThrottlingException", None), LATER),
        (aws("TooManyRequestsException", 429, **{"retry-after": "3"}), LATER._replace(pause=3.0)),
        (aws("Throttling.TooManyRequests"), LATER),
        (aws("ProvisionedThroughputExceededException"), LATER),
        (aws("RequestTimeout"), SLOW),
        (aws("ServiceUnavailableException", 503), AWAY),
        (aws("InternalServerException", 500), AWAY),
        (aws("ModelErrorException", 424), AWAY),
        (aws("modelStreamErrorException", None), AWAY),
        (aws("ModelTimeoutException", 408), SLOW),
        (aws("ValidationException"), REFUSED),
        (aws("AccessDeniedException", 403), REFUSED),
        (aws("AccessDeniedException", None), REFUSED),
        (aws("ServiceQuotaExceededException"), USED_UP),
        (AwsError("m", response={"Error": {}}), UNKNOWN),
    ],
)
def test_aws(error: Exception, verdict: Verdict) -> None:
    assert judge(error, NOW) == verdict


# Addresses


def connection_error(url: str, kind: type[Exception] = httpx2.ConnectError) -> Exception:
    return kind("All attempts failed", request=httpx2.Request("POST", url))  # type: ignore[call-arg]  # of its base


@pytest.mark.parametrize(
    ("error", "address"),
    [
        (connection_error("http://root:hunter2@localhost:1/v1?key=x"), "localhost:1"),
        (connection_error("https://api.example.com/v1"), "api.example.com:443"),
        (connection_error("http://[::1]/v1", httpx2.ReadTimeout), "[::1]:80"),
        (openai.APIConnectionError(request=httpx2.Request("POST", "https://models:8443/v1")), "models:8443"),
        (httpx2.ConnectError("without a request"), None),
        (ConnectionError("of nobody"), None),
        (ValueError("x"), None),
    ],
)
def test_the_address_of_a_server_that_was_not_reached(error: Exception, address: str | None) -> None:
    assert address_of(error) == address


# google-api-core, google-genai, grpc


class GrpcStatus(enum.Enum):
    RESOURCE_EXHAUSTED = (8, "resource exhausted")
    UNAVAILABLE = (14, "unavailable")
    DEADLINE_EXCEEDED = (4, "deadline exceeded")
    UNAUTHENTICATED = (16, "unauthenticated")


class Duration:
    seconds = 7
    nanos = 500_000_000


class RetryInfo:
    retry_delay = Duration()


GoogleCallError = of_package("google.api_core.exceptions", "GoogleAPICallError")
GenaiError = of_package("google.genai.errors", "ClientError")
RpcError = of_package("grpc", "RpcError")


class AioRpcError(RpcError):  # type: ignore[misc,valid-type]  # made above
    def code(self) -> object:
        return self.status


def google(status: int, **attributes: object) -> Exception:
    error: Exception = GoogleCallError(f"{status} m", code=http.HTTPStatus(status), **attributes)
    return error


def genai(status: int, name: str, *details: object, message: str = "m") -> Exception:
    body = {"error": {"code": status, "status": name, "message": message, "details": list(details)}}
    error: Exception = GenaiError(f"{status} {name}. {body}", code=status, status=name, message=message, details=body)
    return error


def quota(name: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": "m", "quotaId": name}],
    }


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22.5s"}


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (google(429, grpc_status_code=GrpcStatus.RESOURCE_EXHAUSTED), LATER),
        (google(429, details=[RetryInfo()]), LATER._replace(pause=7.5)),
        (google(503), AWAY),
        (google(504), AWAY),
        (google(403), REFUSED),
        (GoogleCallError("m", code=None, grpc_status_code=GrpcStatus.UNAVAILABLE), AWAY),
        (GoogleCallError("429 Quota exceeded, limit 'Requests per day per user'", code=429,
            grpc_status_code=GrpcStatus.RESOURCE_EXHAUSTED), USED_UP),
        (genai(503, "UNAVAILABLE"), AWAY),
        (genai(400, "INVALID_ARGUMENT"), REFUSED),
        (genai(429, "RESOURCE_EXHAUSTED", message=BILLING), LATER),
        (genai(429, "RESOURCE_EXHAUSTED", quota("RequestsPerMinute-FreeTier"), RETRY_INFO, message=BILLING),
            LATER._replace(pause=22.5)),
        (genai(429, "RESOURCE_EXHAUSTED", quota("RequestsPerDay-FreeTier"), RETRY_INFO, message=BILLING), USED_UP),
        (AioRpcError("m", status=GrpcStatus.RESOURCE_EXHAUSTED), LATER),
        (AioRpcError("m", status=GrpcStatus.UNAVAILABLE), AWAY),
        (AioRpcError("m", status=GrpcStatus.DEADLINE_EXCEEDED), AWAY),
        (AioRpcError("m", status=GrpcStatus.UNAUTHENTICATED), REFUSED),
        (AioRpcError("m", status=None), UNKNOWN),
        (genai(400, "INVALID_ARGUMENT", message="The input token count (9) exceeds the maximum (8)."), TOO_LONG),
        (genai(429, "RESOURCE_EXHAUSTED", message="Your prepayment credits are depleted."), USED_UP),
    ],
)  # fmt: skip
def test_google(error: Exception, verdict: Verdict) -> None:
    assert judge(error, NOW) == verdict


# aiohttp, requests, urllib, ollama, cohere, litellm


class Response:
    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = headers


AiohttpError = of_package("aiohttp.client_exceptions", "ClientResponseError")
RequestsError = of_package("requests.exceptions", "HTTPError", OSError)
UrllibError = of_package("urllib.error", "HTTPError", OSError)
OllamaError = of_package("ollama._types", "ResponseError")
CohereError = of_package("cohere.core.api_error", "ApiError")
LiteLlmBudget = of_package("litellm.exceptions", "BudgetExceededError")
LiteLlmContext = of_package("litellm.exceptions", "ContextWindowExceededError")


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (AiohttpError("m", status=503, headers={"Retry-After": "4"}), AWAY._replace(pause=4.0)),
        (AiohttpError("m", status=401, headers=None), REFUSED),
        (of_package("aiohttp", "ClientPayloadError")("m"), AWAY),
        (of_package("aiohttp", "ServerDisconnectedError", of_package("aiohttp", "ServerConnectionError"))("m"), AWAY),
        (RequestsError("m", response=Response(429, **{"Retry-After": "5"})), LATER._replace(pause=5.0)),
        (RequestsError("m", response=None), UNKNOWN),
        (UrllibError("m", code=503, status=503, headers={"Retry-After": "6"}), AWAY._replace(pause=6.0)),
        (of_package("urllib.error", "URLError", OSError)("refused"), AWAY),
        (OllamaError("m", status_code=404), REFUSED),
        (OllamaError("m", status_code=-1), UNKNOWN),
        (CohereError("m", status_code=429, headers={"retry-after": "3"}, body={}), LATER._replace(pause=3.0)),
        (LiteLlmBudget("Budget has been exceeded! Current cost: 2", status_code=422), USED_UP),
        (LiteLlmContext("m", status_code=400), TOO_LONG),
    ],
)  # fmt: skip
def test_other_clients(error: Exception, verdict: Verdict) -> None:
    assert judge(error, NOW) == verdict


# Classes of the user's own that stand for such errors


@pytest.mark.parametrize(
    ("name", "attributes", "verdict"),
    [
        ("ResourceExhausted", {"code": 429}, LATER),
        ("ServiceUnavailable", {"code": 503}, AWAY),
        ("GenaiFailure", {"code": 503, "status": "UNAVAILABLE"}, AWAY),
        ("Failure", {"status": 503, "headers": {"Retry-After": "4"}}, AWAY._replace(pause=4.0)),
        ("Failure", {"status": 403, "request_info": object()}, REFUSED),
        ("Failure", {"response": Response(429)}, LATER),
        ("Failure", {"response": {"ResponseMetadata": {"HTTPStatusCode": 503}}}, AWAY),
    ],
)
def test_shapes_of_others(name: str, attributes: dict[str, object], verdict: Verdict) -> None:
    assert judge(of_package("agents", name)("m", **attributes), NOW) == verdict


# anthropic and openai


AnthropicError = of_package("anthropic", "APIStatusError", of_package("anthropic", "APIError"))


def anthropic(status: int | None, kind: str, message: str = "m", **headers: str) -> Exception:
    body = {"type": "error", "error": {"type": kind, "message": message}}
    given: dict[str, Any] = {} if status is None else {"status_code": status, "response": Response(status, **headers)}
    error: Exception = AnthropicError(f"Error code: {status}", body=body, type=kind, **given)
    return error


def openai_error(status: int, body: object = None, **headers: str) -> openai.APIStatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=named, request=REQUEST)
    return openai.APIStatusError("m", response=response, body=body)


def streamed(kind: str | None, code: str | None) -> openai.APIError:
    """An error that comes as an event of a stream which began with 200."""
    return openai.APIError("m", REQUEST, body={"message": "m", "type": kind, "code": code})


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (anthropic(529, "overloaded_error", **{"retry-after": "2"}), AWAY._replace(pause=2.0)),
        (anthropic(None, "overloaded_error"), AWAY),
        (anthropic(None, "rate_limit_error"), LATER),
        (anthropic(None, "invalid_request_error"), REFUSED),
        (anthropic(400, "invalid_request_error"), REFUSED),
        (anthropic(400, "invalid_request_error", "Your credit balance is too low to access the API."), USED_UP),
        (anthropic(400, "invalid_request_error", "You have reached your specified API usage limits."), USED_UP),
        (anthropic(400, "invalid_request_error", "input and `max_tokens` exceed context limit: 9"), TOO_LONG),
        (anthropic(402, "billing_error"), USED_UP),
        (openai_error(429, {"message": BILLING, "type": "insufficient_quota", "code": "insufficient_quota"}), USED_UP),
        (openai_error(429, {"message": "m", "type": "insufficient_quota", "code": None}), USED_UP),
        (openai_error(400, {"message": "m", "code": "billing_hard_limit_reached"}), USED_UP),
        (openai_error(402), USED_UP),
        (openai_error(429, {"message": QUOTA_OF_OPENAI, "code": None}), USED_UP),
        (openai_error(429, {"message": "m", "type": "exceeded_current_quota_error"}), USED_UP),
        (openai_error(429, {"message": "Your team has used all available credits"}), USED_UP),
        (openai_error(400, {"message": "Input is too long for requested model."}), TOO_LONG),
        (openai_error(400, {"message": "m", "type": "exceed_context_size_error"}), TOO_LONG),
        (openai_error(429, {"message": "Limit reached on requests per day", "code": "rate_limit_exceeded"}), LATER),
        (openai_error(429, {"error": {"message": BILLING, "status": "RESOURCE_EXHAUSTED"}}), LATER),
        (openai_error(429, {"status": "RESOURCE_EXHAUSTED", "details": [quota("RequestsPerDay")]}), USED_UP),
        (openai_error(429, retry_after_ms="1500", retry_after="9"), LATER._replace(pause=1.5)),
        (openai_error(503, retry_after="9"), AWAY._replace(pause=9.0)),
        (openai_error(529, retry_after="9"), AWAY._replace(pause=9.0)),
        (streamed("server_error", None), AWAY),
        (streamed("insufficient_quota", "insufficient_quota"), USED_UP),
        (streamed("requests", "rate_limit_exceeded"), LATER),
        (streamed("invalid_request_error", "context_length_exceeded"), TOO_LONG),
        (streamed(None, None), UNKNOWN),
    ],
)  # fmt: skip
def test_anthropic_and_openai(error: Exception, verdict: Verdict) -> None:
    assert judge(error, NOW) == verdict


@pytest.mark.parametrize(
    ("told", "pause"),
    [
        ("250", 0.25),
        ("0", 0.0),
        ("99999999999", MAX_RETRY_AFTER_SECONDS),
        ("9" * 400, MAX_RETRY_AFTER_SECONDS),
        ("x", None),
    ],
)
def test_a_pause_in_milliseconds(told: str, pause: float | None) -> None:
    assert judge(openai_error(429, retry_after_ms=told), NOW).pause == pause


# Numbers and words of the user's own


@pytest.mark.parametrize("value", [500, 404, 429, True, http.HTTPStatus.NOT_FOUND, "insufficient_quota", "500"])
@pytest.mark.parametrize("name", ["code", "status", "type", "reason"])
def test_what_an_error_of_the_users_own_has_under_such_names_means_nothing(name: str, value: object) -> None:
    error = of_package("my_shop.orders", "OrderRefused", ValueError)("credit balance is too low", **{name: value})
    assert judge(error, NOW) == UNKNOWN


@pytest.mark.parametrize("value", [200, 100, 0, -1, 600, 4040, True, 5.5, "503", None])
def test_a_number_that_is_no_status_of_an_error_means_nothing(value: object) -> None:
    assert judge(of_package("httpx", "HTTPError")("m", status_code=value, code=value), NOW) == UNKNOWN
    assert judge(of_package("httpx", "HTTPError")("m", response=Response(value)), NOW) == UNKNOWN  # type: ignore[arg-type]  # no number on purpose
