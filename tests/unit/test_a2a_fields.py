"""The fields of a call of A2A have the values that the protocol's messages can have."""

import base64
from typing import Any

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.protocols.a2a.fields import check_fields, is_base64

NAMES = st.sampled_from(
    ["message", "parts", "text", "raw", "data", "role", "messageId", "configuration", "historyLength", "metadata"]
)
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(st.binary(min_size=1), st.booleans(), st.booleans())
def test_data_is_read_in_each_form_of_base64(data: bytes, is_url_safe: bool, is_padded: bool) -> None:
    text = (base64.urlsafe_b64encode if is_url_safe else base64.b64encode)(data).decode()
    given = {"raw": text if is_padded else text.rstrip("=")}
    check_fields(given, pb.Part.DESCRIPTOR)
    assert ParseDict(given, pb.Part()).raw == data


@pytest.mark.parametrize("text", ["", "!!!notb64", "%%%%", "aGk=\n", "aG k=", "aGk=aGk=", "a", "aGk==", "ä", "="])
def test_other_texts_are_no_data(text: str) -> None:
    assert not is_base64(text)


@settings(deadline=None)
@given(st.recursive(VALUES, lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each, max_size=4)))
def test_the_sdk_reads_all_that_passes(params: Any) -> None:
    try:
        check_fields(params, pb.SendMessageRequest.DESCRIPTOR)
    except InvalidRequest:
        return
    ParseDict(params, pb.SendMessageRequest(), ignore_unknown_fields=True)


@pytest.mark.parametrize("value", [10**400, [10**400], {"a": [1, -(10**400)]}])
def test_numbers_that_no_float_has_are_refused_wherever_they_are(value: Any) -> None:
    kind = pb.SendMessageRequest.DESCRIPTOR
    for call, at in (
        ({"metadata": {"a": value}}, "metadata"),
        ({"message": {"metadata": {"a": value}}}, "message.metadata"),
        ({"message": {"parts": [{"data": value}]}}, "message.parts.0.data"),
    ):
        with pytest.raises(InvalidRequest, match=f"^{at}: expected numbers below"):
            check_fields(call, kind)
