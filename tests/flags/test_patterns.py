"""Globs: the user that stands for one, and its literal texts."""

from fnmatch import fnmatchcase

import pytest

from shim.flags.patterns import STRANGER, UserPatterns, example_user, split_glob


@pytest.mark.parametrize(
    ("glob", "user"),
    [
        ("exactly", "exactly"),
        ("*@a.b", f"{STRANGER}@a.b"),
        ("a?c", f"a{STRANGER[0]}c"),
        ("[xyz]-1", "x-1"),
        ("[!xyz]-1", f"{STRANGER[0]}-1"),
        ("a[", "a["),
        ("[]]b", "]b"),
    ],
)
def test_the_example_of_a_glob(glob: str, user: str) -> None:
    assert example_user(glob) == user
    assert fnmatchcase(user, glob)


@pytest.mark.parametrize(
    ("glob", "texts"),
    [
        ("exactly", ["exactly"]),
        ("a*b?c", ["a", "b", "c"]),
        ("*", ["", ""]),
        ("[abc]x", ["", "x"]),
        ("[]]x", ["", "x"]),
        ("[!]]x", ["", "x"]),
        ("[x", ["[x"]),
    ],
)
def test_the_literal_texts_of_a_glob(glob: str, texts: list[str]) -> None:
    assert split_glob(glob) == texts


@pytest.mark.parametrize(
    ("user", "lists"),
    [
        ("aba", [2]),
        ("abba", [0, 2]),
        ("ab-ba", [0, 2]),
        ("team-7", [1, 2]),
        ("my-team-7-x", [1, 2, 3]),
        ("", [2]),
    ],
)
def test_which_lists_name_a_user(user: str, lists: list[int]) -> None:
    """`ab*ba` is not about `aba`: head and tail may not overlap."""
    patterns = UserPatterns([["ab*ba"], ["*team-?*", "team-7"], ["*"], ["*-team-7-?"]])
    assert patterns.lists_with(user) == lists
