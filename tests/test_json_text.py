"""Large files of JSON are read piece by piece, as strictly as small ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segzoo import json_text

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(json_text, "_PIECE", 5)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "a.json"


@pytest.mark.medium
@pytest.mark.usefixtures("small_pieces")
@given(indent=st.sampled_from([None, 2]), ascii_only=st.booleans(), data=st.dictionaries(st.text(), VALUES))
def test_the_pieces_are_what_the_whole_file_says(place, indent, ascii_only, data):
    place.write_bytes(
        json.dumps(data, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    )
    whole = place.read_bytes()
    found: dict = {}
    for key, value, inside, start, stop in json_text.elements(place):
        assert json_text.parse(whole[start:stop]) == value
        if inside:
            found.setdefault(key, []).append(value)
        else:
            found[key] = value
    assert found == data


@pytest.mark.usefixtures("small_pieces")
def test_long_lists_of_numbers_come_empty_and_places_stay(place):
    data = {"a": [{"long": [1.5] * 30, "short": [1, -2e3]}, {"text": "x" * 50}], "b": [[1] * 40]}
    place.write_text("\ufeff" + json.dumps(data, indent=1))
    whole = place.read_bytes()
    found = list(json_text.elements(place, numbers=40))
    assert [one.value for one in found] == [{"long": [], "short": [1, -2e3]}, {"text": "x" * 50}, []]
    read = [json_text.parse(whole[one.start : one.stop]) for one in found]
    assert read == [*data["a"], data["b"][0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at byte 0 there is not '{'"),
        ("[1]", "at byte 0 there is not '{'"),
        ('{"a": [1, 2', "at byte 11 there is not ',' or ']'"),
        ('{"a": [1, 2}', "at byte 11 there is not ',' or ']'"),
        ('{"a": 1,}', "at byte 8 there is not a key"),
        ('{"a": 1} x', "at byte 9 there is not the end of the file"),
        ('{"a": [{"b": nul}]}', "at byte 13"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"a": [{"b": 1, "b": 2}]}', "'b' stands twice"),
        ('{"a": [NaN]}', "NaN is not JSON"),
        ('{"a": [1e400]}', "1e400 is too large a number"),
        ('{"a": ["\udcff"]}', "codec can't decode"),
        ('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}", "levels deep"),
    ],
)
@pytest.mark.usefixtures("small_pieces")
def test_what_is_not_json_is_refused_with_its_place(place, text, said):
    place.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(json_text.JsonError, match=said.replace("{", r"\{").replace("]", r"\]")):
        list(json_text.elements(place))


def test_an_element_that_does_not_end_is_not_read_for_ever(place, monkeypatch):
    monkeypatch.setattr(json_text, "MOST_BYTES", 2000)
    monkeypatch.setattr(json_text, "_PIECE", 100)
    place.write_text('{"a": ["' + "x" * 100_000)
    with pytest.raises(json_text.JsonError, match="what begins at byte 7 is too long"):
        list(json_text.elements(place))
