"""R20: a flags file is read whole, or refused with everything that is wrong with it."""

import re
from pathlib import Path

import pytest

from shim.model import InputError, Problem, Stage
from shim.settings.flags_file import load_flags_file, parse_flags
from shim.settings.yamlfile import UnreadableError

BLOCK = """\
# A good file.
version: 1
flag: monitor-rollout
hash: {algorithm: blake2b-v1, salt: monitor-rollout}
kill_switch: false
default: off
holdback: 5
overrides:
  alice@example.com: complete
  "12345": 'off'
rules:
  - name: staff
    users: ["*@example.com", bob@example.org]
    stage: live
  - name: early
    users: ["*@beta.example.com"]
    percent: {live: 5, shadow: 12.5}
percent: {complete: 0, live: 1, shadow: 10}
...
"""
FLOW = (
    "{version: 1, flag: f, hash: {algorithm: blake2b-v1, salt: s}, kill_switch: false,"
    " default: 'off', holdback: 0.5,\n overrides: {a: live},"
    " rules: [{name: r, users: [b*], stage: shadow}],"
    " percent: {live: 1}}\n...\n"
)


def problems(text: str) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        parse_flags(text.encode(), "rollout.yaml")
    return list(caught.value.problems)


def places(text: str) -> list[tuple[int | None, str | None]]:
    return [(problem.line, problem.path) for problem in problems(text)]


def with_line(old: str, new: str) -> str:
    assert BLOCK.count(old) == 1
    return BLOCK.replace(old, new)


def test_a_good_file() -> None:
    rollout = parse_flags(BLOCK.encode(), "rollout.yaml")
    assert rollout.evaluate("alice@example.com").stage is Stage.COMPLETE
    assert rollout.evaluate("12345").stage is Stage.OFF
    assert rollout.rules[1].percent is not None
    assert rollout.rules[1].percent.thresholds[2].below == 17_500


@pytest.mark.parametrize("spelling", ["off", "'off'", "false"])
def test_both_spellings_of_off(spelling: str) -> None:
    rollout = parse_flags(with_line("default: off", f"default: {spelling}").encode(), "f")
    assert rollout.default is Stage.OFF


@pytest.mark.parametrize("good", [BLOCK, FLOW], ids=["block", "flow"])
def test_every_prefix_is_refused_or_means_the_whole(good: str) -> None:
    data = good.encode()
    whole = parse_flags(data, "f")
    accepted = []
    for length in range(len(data)):
        try:
            assert parse_flags(data[:length], "f") == whole
        except InputError:
            continue
        accepted.append(length)
    assert accepted == [len(data) - 1]  # without the last newline


WORDS = re.compile(
    r"(?<![\w.@])[a-z_]+(?=:)|(?<=: )(?:complete|live|'off'|off|blake2b-v1)(?=[\n,}])"
)


@pytest.mark.parametrize("good", [BLOCK, FLOW], ids=["block", "flow"])
def test_every_typo_in_a_word_of_the_format_is_refused(good: str) -> None:
    """A letter lost, doubled, swapped with the next, or in upper case, in each of its words."""
    whole = parse_flags(good.encode(), "f")
    accepted = []
    for match in WORDS.finditer(good):
        word = match[0]
        if word == "a":  # a user
            continue
        for at in range(len(word)):
            head, letter, rest = word[:at], word[at], word[at + 1 :]
            for typo in (head + rest, head + letter * 2 + rest, head + rest[:1] + letter + rest[1:],
                         head + letter.upper() + rest):  # fmt: skip
                if typo == word:
                    continue
                text = good[: match.start()] + typo + good[match.end() :]
                try:
                    assert parse_flags(text.encode(), "f") == whole
                except InputError:
                    continue
                accepted.append(typo)
    # What YAML reads as the same, and nothing else.
    assert set(accepted) <= {"Off"}


@pytest.mark.parametrize("good", [BLOCK, FLOW], ids=["block", "flow"])
def test_every_key_twice_is_refused(good: str) -> None:
    names = {match[0] for match in re.finditer(r"[a-z_]+(?=: )", good)}
    assert len(names) > 10
    for name in names:
        for match in re.finditer(rf"(?<![a-z_@.]){name}: ([^\n,\[{{}}]+)", good):
            entry = match[0]
            separator = (
                ", " if good is FLOW or "{" in good[: match.start()].rsplit("\n")[-1] else None
            )
            indent = " " * (match.start() - good.rfind("\n", 0, match.start()) - 1)
            again = f"{entry}{separator}{entry}" if separator else f"{entry}\n{indent}{entry}"
            text = good[: match.start()] + again.replace("- ", "  ") + good[match.end() :]
            assert any("duplicate key" in problem.reason for problem in problems(text)), text


def test_every_problem_at_once_with_its_line() -> None:
    text = (
        BLOCK.replace("version: 1", "version: 2")
        .replace("kill_switch: false", "kill_swich: false")
        .replace("holdback: 5", "holdback: 120")
        .replace("complete\n", "compleet\n")
        .replace("stage: live\n", "stage: live\n    stage: shadow\n")
        .replace("{live: 5, shadow: 12.5}", "{live: 95, shadow: 12.5}")
        .replace("live: 1,", "live: -1,")
    )
    assert places(text) == [
        (2, "kill_switch"),  # missing, so it is told where the file begins
        (2, "version"),
        (5, "kill_swich"),
        (7, "holdback"),
        (9, "overrides.alice@example.com"),
        (15, "rules[0].stage"),
        (18, "rules[1].percent"),
        (19, "percent.live"),
    ]


def test_a_typo_is_told_with_what_was_meant() -> None:
    (unknown,) = [p for p in problems(with_line("holdback", "holdbak")) if p.path == "holdbak"]
    assert "did you mean 'holdback'" in unknown.reason
    (unknown,) = problems(with_line("complete\n", "compleet\n"))
    assert unknown.reason.endswith("not 'compleet' (did you mean 'complete'?)")


def test_what_is_wrong_together_is_told_beside_what_is_wrong_alone() -> None:
    text = BLOCK.replace("{live: 5, shadow: 12.5}", "{complete: all, live: 90, shadow: 12.5}")
    text = text.replace("name: early", "name: staff").replace(
        "    stage: live\n", "    stag: live\n"
    )
    assert places(text) == [
        (12, "rules[0]"),
        (14, "rules[0].stag"),
        (15, "rules[1].name"),
        (17, "rules[1].percent"),
        (17, "rules[1].percent.complete"),
    ]


@pytest.mark.parametrize("key", ["holdback", "overrides", "rules", "hash"])
def test_a_value_that_is_no_yaml_is_told_once(key: str) -> None:
    text = re.sub(rf"{key}:.*(\n  .*)*", f"{key}: *x", BLOCK)
    (problem,) = problems(text)
    assert (problem.path, "aliases" in problem.reason) == (key, True)


@pytest.mark.parametrize(
    ("old", "new", "line", "path"),
    [
        ("alice@example.com: complete", "67890: complete", 9, "overrides.67890"),
        ("alice@example.com: complete", "yes: complete", 9, "overrides.yes"),
        ("alice@example.com: complete", "alice: on", 9, "overrides.alice"),
        ("bob@example.org", "12345", 13, "rules[0].users[1]"),
        ("bob@example.org", "true", 13, "rules[0].users[1]"),
        ('["*@beta.example.com"]', "[]", 16, "rules[1].users"),
        ('["*@beta.example.com"]', '"*"', 16, "rules[1].users"),
        ("name: early", "name: staff", 15, "rules[1].name"),
        ("version: 1", "version: true", 2, "version"),
        ("version: 1", "version: '1'", 2, "version"),
        ("kill_switch: false", "kill_switch: 0", 5, "kill_switch"),
        ("holdback: 5", "holdback: true", 7, "holdback"),
        ("holdback: 5", "holdback: 0.0001", 7, "holdback"),
        ("holdback: 5", "holdback: .nan", 7, "holdback"),
        ("holdback: 5", "holdback: .inf", 7, "holdback"),
        ("holdback: 5", "holdback: 1:30", 7, "holdback"),
        ("holdback: 5", "holdback:", 7, "holdback"),
        ("flag: monitor-rollout", "flag: ''", 3, "flag"),
        ("blake2b-v1", "md5", 4, "hash.algorithm"),
        ("shadow: 10}", "shadow: 10, dark: 9}", 18, "percent.dark"),
    ],
)
def test_one_mistake_one_problem(old: str, new: str, line: int, path: str) -> None:
    assert places(with_line(old, new)) == [(line, path)]


def test_a_rule_with_both_stage_and_percent() -> None:
    both = with_line("    stage: live\n", "    stage: live\n    percent: {live: 1}\n")
    assert places(both) == [(12, "rules[0]")]
    assert places(with_line("    stage: live\n", "")) == [(12, "rules[0]")]


def test_a_duplicate_user_is_not_the_last_one_silently() -> None:
    text = with_line("  \"12345\": 'off'", "  alice@example.com: 'off'")
    (problem,) = problems(text)
    assert (problem.line, problem.path) == (10, "overrides.alice@example.com")


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("  alice@", "\talice@", "tab"),
        ("holdback: 5", "holdback: &five 5", "anchor"),
        ("holdback: 5", "holdback: !!int 5", "tag"),
        ("percent: {complete: 0, live: 1, shadow: 10}", "percent: *five", "alias"),
        ("...\n", "---\nversion: 1\n...\n", "document"),
        ("...\n", "", "cut off"),
        ("...\n", "# ...\n", "cut off"),
    ],
)
def test_yaml_that_is_refused(old: str, new: str, word: str) -> None:
    assert any(word in problem.reason for problem in problems(with_line(old, new)))


def test_a_billion_laughs_are_refused() -> None:
    """Written out they would be more than any machine can hold, so this test would never end."""
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert problems("\n".join(lines) + "\n...\n")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 50_000 + "a"])
def test_depth_is_limited(text: str) -> None:
    assert any("deep" in problem.reason for problem in problems(f"{text}\n...\n"))


@pytest.mark.parametrize(
    "line",
    ["a: b\n", "k{}: v\n", "{}: v\n", "k{}: &a v\n"],
    ids=["twice", "unknown", "number", "&"],
)
def test_after_a_thousand_problems_nothing_more_is_read(line: str) -> None:
    found = problems("".join(line.format(number) for number in range(30_000)) + "...\n")
    assert len(found) == 1001
    assert found[-1].reason == "after 1000 problems no more is read"
    assert max(problem.line or 0 for problem in found) < 1100


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "...\n", "[]\n...\n", "off\n...\n"])
def test_a_file_with_nothing_in_it(text: str) -> None:
    assert problems(text)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InputError, match="UTF-8") as caught:
        parse_flags(BLOCK.encode().replace(b"staff", b"\xff"), "f")
    assert any(problem.line == 12 for problem in caught.value.problems)


def test_control_characters() -> None:
    assert problems(BLOCK.replace("staff", "st\x00aff"))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_bytes(b"#" * 5_000_001)
    with pytest.raises(InputError, match="larger"):
        load_flags_file(file)


def test_a_hundred_thousand_overrides(tmp_path: Path) -> None:
    users = "".join(f"  user{n}@example.com: live\n" for n in range(100_000))
    file = tmp_path / "rollout.yaml"
    file.write_text(with_line("overrides:\n", f"overrides:\n{users}"))
    assert load_flags_file(file).targeting.evaluate("user99999@example.com").stage is Stage.LIVE


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(UnreadableError) as caught:
            load_flags_file(path)
        assert caught.value.problems[0].file == str(path)


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_text(BLOCK)
    first = load_flags_file(file)
    file.write_text(BLOCK.replace("good", "better"))
    second = load_flags_file(file)
    assert first.targeting == second.targeting
    assert first.digest != second.digest
    assert len(first.digest) == 64


def test_the_committed_file_is_good() -> None:
    rollout = load_flags_file(Path("config/rollout.yaml")).targeting
    assert (rollout.flag, rollout.salt) == ("monitor-rollout", "monitor-rollout")
    assert not rollout.kill_switch
