"""From a mismatch to its trace: which sort it is, how far apart the decisions were, which episodes."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards.board import Section, make
from boards.expressions import JOB, KIND, increase, quantile, rate
from boards.panels import Query, counts, lines, link, number, spread, words

_HOW = """\
**How to read this.** Each diamond is an *exemplar*: one episode, with a link to its trace. The trace shows
both silences on one time line. **Show the episodes**, in the menu of a line, lists the episodes in the shim's
console, each with its timeline. In a terminal: `shim verdicts --verdict mismatched --since 1d`.

- `only_candidate`, recovered: the candidate would have closed a live connection. This is the worst kind.
- `only_control`, recovered: the control would have closed a live connection.
- Not recovered: one monitor decided that the connection was dead, the other monitor did not.
- `skewed`: both monitors decided, too far apart.

If a kind of mismatch is understood and harmless, add a rule to `comparison.expected`.
"""

_EPISODES = "${console}/verdicts?verdict=${__field.labels.verdict}&kind=${__field.labels.kind}"
_ROW_EPISODES = "${console}/verdicts?verdict=${__data.fields.verdict}&kind=${__data.fields.kind}"
_FALSE_KILLS = f'{KIND}, verdict="mismatched", kind="only_candidate", recovered="true"'


def board() -> Dashboard:
    return make(
        "shim-mismatches",
        "Migration: mismatches",
        "Why the monitors did not agree, down to single episodes and their traces.",
        [_which(), _skew(), _rest()],
    )


def _which() -> Section:
    mismatched = f'{KIND}, verdict="mismatched", improvement!="true"'
    improvements = f'{KIND}, improvement="true"'
    explained = (
        f'{KIND}, informative="true", verdict=~"matched|mismatched|expected", improvement!="true"'
    )
    expected = f'{KIND}, informative="true", verdict="expected", improvement!="true"'
    window = "$window"
    return Section(
        "Which mismatches?",
        [
            words(_HOW, span=12, height=8),
            number(
                "Mismatches over $window",
                "Mismatches that no rule explains.",
                f"{increase('shim_verdicts_total', mismatched, window)} or vector(0)",
                unit="none",
                span=3,
            ),
            number(
                "False kills over $window",
                "Live connections that the candidate would have closed, or closed (R9).",
                f"{increase('shim_verdicts_total', _FALSE_KILLS, window)} or vector(0)",
                unit="none",
                span=3,
            ),
            number(
                "Improvements over $window",
                "Episodes in which life proved the control wrong where the candidate waited: no mismatches "
                "(R14).",
                f"{increase('shim_verdicts_total', improvements, window)} or vector(0)",
                unit="none",
                span=3,
            ),
            number(
                "Explained over $window",
                "Mismatches that a rule explains, as a share of all conclusive episodes and these; the gate "
                "permits at most 0.5 % (`gate.max_expected`, R16).",
                f"({increase('shim_verdicts_total', expected, window)} or vector(0))"
                f" / {increase('shim_verdicts_total', explained, window)}",
                unit="percentunit",
                span=3,
            ),
            lines(
                "Mismatches",
                "Mismatches by kind, with exemplars.",
                Query(
                    rate("shim_verdicts_total", mismatched, "verdict, kind, recovered"),
                    "{{kind}}, recovered: {{recovered}}",
                    exemplars=True,
                ),
                unit="cps",
                span=12,
                links=(link("Show the episodes", _EPISODES),),
            ),
            counts(
                "All verdicts over $window",
                "Informative: the shadow decided first, so that the agreement is evidence (R14).",
                increase(
                    "shim_verdicts_total",
                    KIND,
                    window,
                    "verdict, kind, recovered, improvement, informative",
                ),
                link("Show the episodes", _ROW_EPISODES),
            ),
        ],
    )


def _skew() -> Section:
    return Section(
        "How far apart are the decisions?",
        [
            spread(
                "Skew",
                "Time between the two decisions of an episode, with exemplars. A sweeping control is up to "
                "one interval later than an exact candidate.",
                Query(rate("shim_skew_seconds_bucket", JOB, "le"), "{{le}}", exemplars=True),
                unit="s",
            ),
            lines(
                "Skew, by who decided first",
                "Half of the episodes are below the lower line, 95 % are below the upper line.",
                Query(quantile(0.5, "shim_skew_seconds", JOB, "first"), "{{first}} first, half"),
                Query(
                    quantile(0.95, "shim_skew_seconds", JOB, "first"),
                    "{{first}} first, 95 %",
                    exemplars=True,
                ),
                unit="s",
                span=12,
            ),
        ],
    )


def _rest() -> Section:
    return Section(
        "What else went wrong?",
        [
            lines(
                "Proofs of life",
                "Clients that sent something after this monitor had closed them, so they were alive (R14b).",
                Query(rate("shim_proofs_of_life_total", JOB, "role"), "{{role}}"),
                unit="cps",
            ),
            lines(
                "Inconclusive",
                "Episodes that ended for another cause before both monitors had decided (R11).",
                Query(
                    rate("shim_verdicts_total", f'{KIND}, verdict="inconclusive"', "verdict, kind"),
                    "{{kind}}",
                    exemplars=True,
                ),
                unit="cps",
                links=(link("Show the episodes", _EPISODES),),
            ),
            lines(
                "Late decisions",
                "Decisions on a silence that already had its verdict (R7).",
                Query(rate("shim_late_decisions_total", JOB, "role"), "{{role}}"),
                unit="cps",
            ),
            lines(
                "Failures of the monitors",
                "Calls that raised an exception, returned nonsense or took too long (R5).",
                Query(rate("shim_monitor_failures_total", JOB, "role, call"), "{{role}}: {{call}}"),
                unit="cps",
            ),
            lines(
                "Decisions",
                "Timeouts that each monitor decided, and whether they reached the socket.",
                Query(
                    rate("shim_decisions_total", KIND, "role, acted"), "{{role}}, acted: {{acted}}"
                ),
                unit="cps",
            ),
            lines(
                "Brake and guard",
                "How often the brake and the guard engaged, over $window.",
                Query(increase("shim_brake_engagements_total", JOB, "$window"), "brake"),
                Query(increase("shim_guard_engagements_total", JOB, "$window"), "guard"),
                unit="none",
            ),
        ],
    )
