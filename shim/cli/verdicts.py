"""`shim verdicts`: the verdicts of the ledger, as a list, and one episode as a timeline."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from shim.cli.common import (
    PATH,
    format_local,
    input_errors,
    json_option,
    read_date,
    read_settings,
    word_option,
)
from shim.cli.ledger_option import echo_record, ledger_of, ledger_option, one_place
from shim.cli.remote import Remote, instead_option, read_record
from shim.cli.terminal import console_for, print_json
from shim.ledger.completeness import with_record
from shim.ledger.process_record import ProcessRecord
from shim.ledger.protocols import Episode, EpisodeReader, Page, VerdictFilter
from shim.ledger.rows import VerdictRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.stores import read_ledger
from shim.ledger.timeline import moments, why
from shim.model import Kind, Role, VerdictKind, VerdictName, seconds
from shim.model.ledger_url import LedgerUrl
from shim.runtime.machine_start import present_time
from shim.settings.durations import parse_duration

LONGEST_PAGE = 1000
"""The most verdicts that the API answers at a time."""


class RemoteLedger:
    """The ledger of a running shim, read over its API; the token decides whether users are named."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    @property
    def place(self) -> str:
        return str(self._remote.url)

    def verdicts(
        self, which: VerdictFilter, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        filters = asdict(which)
        for name in ("since", "until"):
            if filters[name] is not None:
                filters[name] = seconds(filters[name])
        for name in ("recovered", "improvement"):
            if filters[name] is not None:
                filters[name] = str(filters[name]).lower()
        rows: list[VerdictRow] = []
        while True:
            here = min(limit - len(rows), LONGEST_PAGE)
            page = self._remote.get(
                "/api/verdicts", _read_page, limit=here, cursor=cursor, **filters
            )
            rows, cursor = rows + page.rows, page.cursor
            if cursor is None or not page.rows or len(rows) >= limit:
                return Page(rows, cursor, page.record)

    def processes(self, now: Wall) -> list[ProcessRecord]:
        """`Page.record` says how far the record of each goes."""
        return []

    def episode(self, verdict_id: int) -> Episode:
        return self._remote.get(f"/api/verdicts/{verdict_id}", Episode.from_dict)


def _read_page(answer: Mapping[str, Any]) -> Page:
    rows = msgspec.convert(answer["verdicts"], list[dict[str, Any]])
    cursor = msgspec.convert(answer["next"], str | None)
    return Page([VerdictRow.from_dict(row) for row in rows], cursor, read_record(answer))


_Moment = Callable[[Wall], Wall]
"""A time, by the present time of the ledger."""


def _read_time(text: str) -> _Moment:
    """A time: a duration before now (`2d`), or a date with or without a time of day (local, if no zone)."""
    try:
        before = parse_duration(text)
    except ValueError:
        pass
    else:
        return lambda now: now - before
    try:
        at = read_date(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time; write 2d, 90m, 2026-11-23 or 2026-11-23T10:15"
        ) from None
    return lambda now: at


@click.command()
@click.argument("episode", type=click.IntRange(1), required=False)
@ledger_option("Read this ledger: a SQLite file, or the URL of a ledger.")
@click.option("--config", type=PATH, help="The settings file that names the ledger.")
@instead_option
@click.option("--user", help="Show only verdicts of this user.")
@click.option("--package", help="Show only verdicts of this package.")
@word_option("--verdict", VerdictName, "Show only this verdict.")
@word_option("--kind", VerdictKind, "Show only verdicts of this kind.")
@word_option("--connection-kind", Kind, "Show only verdicts on connections of this kind.")
@word_option("--acting", Role, "Show only verdicts while this monitor acted.")
@click.option(
    "--recovered", is_flag=True, default=None, help="Show only verdicts where the client was alive."
)
@click.option(
    "--improvements",
    "improvement",
    is_flag=True,
    default=None,
    help="Show only improvements: life proved the control wrong where the candidate waited.",
)
@click.option(
    "--since",
    type=_read_time,
    metavar="TEXT",
    help="Show verdicts since this time: 2d, 90m, or a date.",
)
@click.option(
    "--until",
    type=_read_time,
    metavar="TEXT",
    help="Show verdicts before this time: 2d, 90m, or a date.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Show at most this many verdicts.",
)
@click.option("--cursor", help="Show the next page: the value that the last page printed.")
@json_option
@input_errors
def verdicts(
    episode: int | None,
    ledger: LedgerUrl | None,
    config: Path | None,
    url: str | None,
    since: _Moment | None,
    until: _Moment | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """List verdicts, newest first; or show one EPISODE as a timeline, by its number.

    Without --ledger and --url the command reads the ledger that the settings name.
    """
    one_place(ledger, url)
    with _reader(ledger, config, url) as (reader, now):
        if episode is not None:
            found = reader.episode(episode)
            if found is None:
                raise click.UsageError(f"{reader.place} has no episode {episode}")
            if as_json:
                print_json(_episode_facts(found))
                return
            _show_episode(found)
            echo_record(found.record)
            return
        which = VerdictFilter(since=since and since(now), until=until and until(now), **filters)
        page = reader.verdicts(which, limit=limit, cursor=cursor)
        processes = reader.processes(now)
    if as_json:
        facts: dict[str, Any] = {"verdicts": [row.as_dict() for row in page.rows]}
        if processes:
            facts["processes"] = [process.as_dict() for process in processes]
        print_json(with_record({**facts, "cursor": page.cursor}, page.record))
        return
    _show_page(page, reader.place)
    echo_record(page.record)


@contextmanager
def _reader(
    ledger: LedgerUrl | None, config: Path | None, url: str | None
) -> Iterator[tuple[EpisodeReader, Wall]]:
    """Where the verdicts are, and the present time there."""
    if url is not None:
        yield RemoteLedger(Remote(url)), wall_clock()
    elif ledger is not None:
        with closing(read_ledger(ledger)) as reader:
            yield reader, present_time(reader)
    else:
        settings = read_settings(config)
        with ledger_of(settings) as reader:
            yield reader, present_time(reader)


def _show_page(page: Page, place: str) -> None:
    console = console_for()
    if not page.rows:
        console.print(f"no verdict in {place} matches", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("#", "at", "user", "connection", "verdict", "skew", "acting"):
        table.add_column(title, overflow="fold", justify="right" if title == "skew" else "left")
    for row in page.rows:
        table.add_row(
            str(row.id),
            format_local(row.at),
            row.user,
            " ".join(filter(None, (row.package or row.connection_kind, row.instance))),
            _format_verdict(row),
            "" if row.skew is None else f"{seconds(row.skew):+.1f} s",
            row.acting or "none",
        )
    console.print(table)
    if page.cursor is not None:
        console.print(f"older verdicts: --cursor {page.cursor}")


def _format_verdict(row: VerdictRow) -> str:
    parts = ["improvement" if row.improvement else row.verdict.value]
    if row.kind is not VerdictKind.BOTH:
        parts.append(row.kind.value.replace("_", " "))
    if row.recovered:
        parts.append("recovered")
    if row.rule is not None:
        parts.append(f"rule {row.rule}")
    return ", ".join(parts)


def _episode_facts(episode: Episode) -> dict[str, Any]:
    start = episode.verdict.last_activity
    timeline = [
        {"at": seconds(at.at), "after": seconds(at.at - start), "text": at.text}
        for at in moments(episode)
    ]
    facts = {**episode.as_dict(), "why": why(episode), "timeline": timeline}
    if episode.record is None:
        del facts["record"]
    return facts


def _show_episode(episode: Episode) -> None:
    console, verdict = console_for(), episode.verdict
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in (
        ("episode", str(verdict.id)),
        ("user", verdict.user),
        (
            "connection",
            " ".join(filter(None, (verdict.connection_kind, verdict.package, verdict.instance))),
        ),
        ("", f"{verdict.connection} of run {verdict.run}, session {verdict.session}"),
        ("acting", verdict.acting or "no monitor"),
        ("verdict", why(episode)),
        ("trace", verdict.trace or "none"),
    ):
        facts.add_row(name, value)
    story = Table(box=None, pad_edge=False)
    story.add_column(_local_time(verdict.last_activity).strftime("%Y-%m-%d"), no_wrap=True)
    story.add_column("silence", justify="right", no_wrap=True)
    story.add_column("", overflow="fold")
    for moment in moments(episode):
        after = seconds(moment.at - verdict.last_activity)
        story.add_row(
            _local_time(moment.at).strftime("%H:%M:%S.%f")[:-3],
            f"{after:+.1f} s",
            moment.text,
        )
    console.print(facts)
    console.print()
    console.print(story)


def _local_time(at: Wall) -> datetime:
    return datetime.fromtimestamp(seconds(at)).astimezone()
