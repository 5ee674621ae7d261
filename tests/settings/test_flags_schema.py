"""The JSON Schema for editors says what the reader says, but for what it cannot say."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shim.model import InputError
from shim.settings.flags_file import flags_schema, parse_flags
from tests.settings.test_flags_file import BLOCK, FLOW

COMMITTED = Path("config/rollout.schema.json")
GOOD = yaml.safe_load(FLOW)

# Beyond a JSON Schema: how often a name comes, what widths add to, how fine they are.
_UNSAYABLE = ("duplicate name", "the widths add to", "finer than")

VALUES = st.recursive(
    st.sampled_from(
        [None, True, False, 0, 1, 5, 101, -1, 2.5, "", "off", "live", "x", "blake2b-v1"]
    ),
    lambda children: (
        st.lists(children, max_size=2)
        | st.dictionaries(
            st.sampled_from(["name", "users", "stage", "percent", "live", "shadow", "salt", "x"]),
            children,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def accepts(document: Any) -> bool:
    checker = jsonschema.Draft7Validator(flags_schema())
    return not list(checker.iter_errors(document))


def reads(document: Any) -> bool:
    text = f"{json.dumps(document)}\n...\n"
    try:
        parse_flags(text.encode(), "f")
    except InputError as error:
        return all(any(u in p.reason for u in _UNSAYABLE) for p in error.problems)
    return True


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(flags_schema())


def test_the_committed_file_is_current() -> None:
    assert json.loads(COMMITTED.read_text()) == flags_schema(), (
        "write it anew: shim flags schema > config/rollout.schema.json"
    )


@pytest.mark.parametrize("text", [BLOCK, FLOW, Path("config/rollout.yaml").read_text()])
def test_good_files(text: str) -> None:
    assert accepts(yaml.safe_load(text))


@given(key=st.sampled_from([*GOOD, "new"]), value=VALUES)
def test_schema_and_reader_agree(key: str, value: Any) -> None:
    document = {**GOOD, key: value}
    assert accepts(document) == reads(document)


@given(rule=VALUES)
def test_they_agree_about_rules(rule: Any) -> None:
    document = {**GOOD, "rules": [rule, *GOOD["rules"]]}
    assert accepts(document) == reads(document)


@pytest.mark.parametrize("key", GOOD)
def test_every_key_is_required(key: str) -> None:
    document = {name: value for name, value in GOOD.items() if name != key}
    assert not accepts(document)
    assert not reads(document)
