"""Interventions as an enemy would write them: each ends in a short sentence, soon."""

import json
import traceback
from typing import Any

import pytest

from dsp_viz.interventions import InterventionError, from_json, to_json


def restrict(tokens: str, **more: Any) -> str:
    return json.dumps([{"kind": "restrict", "grid": [4, 4], "tokens": [], **more}]).replace("[]", tokens)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (restrict("[" + "[0,0]," * 10**6 + "[0,0]]"), "6,000,057 characters of JSON; at most 1,048,576 are read"),
        (restrict("[" + "[0,0]," * 70_000 + "[0,0]]"), "at most 65536 items"),
        (restrict("[[0,1024]]"), "less than 1024"),
        (restrict("[[0,-1]]"), "greater than or equal to 0"),
        (restrict("[[0,true]]"), "should be a valid integer"),
        (restrict("[[0,1.0]]"), "should be a valid integer"),
        (restrict("[[0]]"), "tokens.0.1: Field required"),
        (restrict("[" + '"a",' * 10**5 + "0]"), "tokens.0: Input should be a valid"),
        (restrict("[[" + "0," * 10**5 + "0]]"), "at most 2 items"),
        (restrict("{}"), "tokens: Input should be a valid"),
        (restrict("[[0,1e999]]"), "tokens.0.1: Input should be a valid integer"),
        (restrict("[[0," + "9" * 6000 + "]]"), "Invalid JSON: number out of range"),
        ('[{"kind":"set_mixing_weights","weights":[' + "1," * 10**5 + "1]}]", "at most 64 items"),
        ('[{"kind":"' + "x" * 10**6 + '"}]', "there is no kind 'xxx"),
        ('[{"kind":{"a":[1,2]}}]', "there is no kind"),
        ('[{"kind":null}]', "there is no kind"),
        ('[{"kind":"leave_out_filter","' + "x" * 10**6 + '":0}]', "Extra inputs are not permitted; fields are kind"),
        ('[{"kind":"leave_out_filter",' + ",".join(f'"{i}":0' for i in range(50_000)) + "}]", "fields are kind, block"),
        ('[{"kind":"set_coefficient","value":0,"stream":"' + "x" * 10**6 + '"}]', "at most 100 char"),
        ('[{"kind":"set_coefficient","value":' + "9" * 6000 + "}]", "Invalid JSON: number out of range"),
        ('[{"kind":"set_coefficient","value":' + "9" * 4000 + "}]", "value: Input should be"),
        ('[{"kind":"set_coefficient","value":1e999}]', "finite number"),
        ('[{"kind":"set_coefficient","value":NaN}]', "finite number"),
        ('[{"kind":"set_coefficient","value":-Infinity}]', "finite number"),
        ('[{"kind":"set_coefficient","value":true}]', "valid number"),
        ('[{"kind":"set_coefficient","value":0,"relative":1}]', "valid boolean"),
        ("[" * 200_000, "recursion limit exceeded"),
        ('[{"kind":' * 100_000, "recursion limit exceeded"),
        ('{"kind":' * 50_000 + "1" + "}" * 50_000, "recursion limit exceeded"),
        ("[" + "[]," * 10**5 + "[]]", "0: Input should be an object"),
        ('"' + "x" * 10**6 + '"', "interventions: Input should be a valid"),
        (b"\xff\xfe[]", "Invalid JSON"),
        (b'[{"kind":"\xff"}]', "Invalid JSON"),
        (b"x" * (2**20 + 1), "1,048,577 characters of JSON"),
        ("\ud800", "interventions: "),
        ('[{"kind":"\\ud800"}]', "Invalid JSON"),
        ("\0", "Invalid JSON"),
        ("", "Invalid JSON"),
        (None, "should be string, bytes"),
        ([], "should be string, bytes"),
    ],
    ids=lambda v: repr(v)[:40],
)
def test_hostile_json_is_an_error_that_repeats_little_of_it(text: Any, message: str) -> None:
    with pytest.raises(InterventionError) as caught:
        from_json(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250
    assert len("".join(traceback.format_exception(caught.value))) < 10_000  # what a log gets


def test_a_region_of_as_many_tokens_as_are_allowed_is_read() -> None:
    (region,) = from_json(restrict(json.dumps([[r, c] for r in range(256) for c in range(256)]), grid=[256, 256]))
    assert len(region.tokens) == 2**16  # type: ignore[union-attr]
    assert from_json(to_json([region])) == (region,)
