"""The canonical form: byte for byte what Python's own encoder gives, and any change shows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.storage.documents import canonical, seal, unseal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(document=st.dictionaries(st.text(max_size=4), VALUES, max_size=5))
def test_it_is_what_python_s_encoder_gives(document):
    slow = json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    assert canonical(document) == slow.encode()


@given(document=st.dictionaries(st.sampled_from(["a", "files", "zz", "ä"]), VALUES, max_size=4), data=st.data())
def test_a_sealed_document_opens_and_a_changed_one_does_not(document, data):
    sealed = seal(document)
    assert unseal(sealed) == document
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert unseal(bytes(changed)) is None
    assert unseal(sealed + b"\n") is None


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        canonical({"a": float("nan")})
