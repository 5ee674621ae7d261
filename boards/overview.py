"""The rollout at a glance: how far it is, whether the monitors agree, whether clients come back."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards.board import Section, make
from boards.expressions import (
    JOB,
    KIND,
    agreement,
    conclusive,
    increase,
    quantile,
    rate,
    return_rate,
)
from boards.panels import Query, lines, number, state


def board() -> Dashboard:
    return make(
        "shim-overview",
        "Migration: overview",
        "How far the rollout is, and whether it may go on. docs/runbook.md says what to do when it may not.",
        [_now(), _rollout(), _agreement(), _outcomes(), _evidence(), _process()],
    )


def _now() -> Section:
    return Section(
        "Now",
        [
            number("Processes", "That Prometheus can scrape.", f"sum(up{{{JOB}}})", unit="none"),
            state(
                "Brake",
                "Engaged: everyone is at shadow at most (R22).",
                f"max(shim_brake_engaged{{{JOB}}})",
                good="released",
                bad="ENGAGED",
            ),
            state(
                "Guard",
                "Holding: closes of the candidate wait, because it wants to close very many (R6b).",
                f"max(shim_guard_holding{{{JOB}}})",
                good="quiet",
                bad="HOLDING",
            ),
            state(
                "Candidate",
                "Quarantined: it failed so often that it runs no more (R5).",
                f"max(shim_candidate_quarantined{{{JOB}}})",
                good="works",
                bad="QUARANTINED",
            ),
            state(
                "Flags file",
                "Refused: the last good one stays in force (R20).",
                f"max(shim_flags_stale{{{JOB}}})",
                good="in force",
                bad="REFUSED",
            ),
            number(
                "Age of the flags",
                "Since the flags in use were read; where processes differ, of the oldest.",
                f"time() - min(shim_flags_loaded_timestamp_seconds{{{JOB}}} > 0)",
                unit="s",
            ),
            state(
                "Ledger",
                "Degraded: the evidence cannot be written.",
                f"max(shim_ledger_degraded{{{JOB}}})",
                good="written",
                bad="DEGRADED",
            ),
            number(
                "Open episodes",
                "They wait for their verdict.",
                f"sum(shim_open_episodes{{{JOB}}})",
                unit="none",
            ),
        ],
    )


def _rollout() -> Section:
    candidate = f'{KIND}, role="candidate"'
    return Section(
        "How far is the rollout?",
        [
            lines(
                "Open connections",
                "By the stage of their user.",
                Query(f"sum by (stage) (shim_connections{{{KIND}}})", "{{stage}}"),
                unit="none",
                stacked=True,
            ),
            lines(
                "Users",
                "With an open connection, by the monitor that acts for them; counted once a minute.",
                Query(f"sum by (role) (shim_users{{{KIND}}})", "{{role}} acts"),
                unit="none",
                stacked=True,
            ),
            lines(
                "Time for which the candidate acts",
                "Its share of the time that connections were open.",
                Query(
                    f"{increase('shim_acted_seconds_total', candidate, '10m')}"
                    f" / {increase('shim_acted_seconds_total', KIND, '10m')}",
                    "candidate",
                ),
                unit="percentunit",
            ),
            lines(
                "Changes of stage",
                "Open connections that were moved, without a disconnect (R21).",
                Query(
                    rate("shim_stage_changes_total", JOB, "before, after"), "{{before}} → {{after}}"
                ),
                unit="cps",
            ),
            lines(
                "Registrations",
                "Connections opened. A step together with closings: clients are sent away and return.",
                Query(rate("shim_registrations_total", KIND, "stage"), "{{stage}}"),
                unit="cps",
                stacked=True,
            ),
            lines(
                "Closings",
                "By who ended the connection, and the close code that was sent.",
                Query(rate("shim_closings_total", KIND, "cause, code"), "{{cause}} {{code}}"),
                unit="cps",
                stacked=True,
            ),
        ],
    )


def _agreement() -> Section:
    return Section(
        "Do the monitors agree?",
        [
            lines(
                "Agreement over $window",
                "Matched of matched and mismatched, where the shadow decided first (R14); the line is "
                "the gate's default target. The gate itself asks for more: `shim gate`.",
                Query(agreement("$window"), "{{connection_kind}}"),
                unit="percentunit",
                target=0.99,
            ),
            lines(
                "Episodes behind it",
                "That the agreement is a share of. No data is never success.",
                Query(conclusive("$window"), "{{connection_kind}}"),
                unit="none",
            ),
            lines(
                "Verdicts",
                "All of them, also those that prove nothing.",
                Query(rate("shim_verdicts_total", KIND, "verdict"), "{{verdict}}", exemplars=True),
                unit="cps",
                stacked=True,
            ),
        ],
    )


def _outcomes() -> Section:
    return Section(
        "Do clients come back?",
        [
            lines(
                "Return rate over $window",
                "Of clients that a monitor closed, those that came back in time (R15). A candidate below "
                "the control sends clients away, however well the two agree.",
                Query(return_rate("$window"), "{{role}}, {{connection_kind}}"),
                unit="percentunit",
            ),
            lines(
                "Outcomes",
                "What became of clients that a monitor closed.",
                Query(rate("shim_outcomes_total", KIND, "role, outcome"), "{{role}}: {{outcome}}"),
                unit="cps",
                stacked=True,
            ),
            lines(
                "Time until they are back",
                "Half of them are back after the lower line, 95 % after the upper one.",
                Query(quantile(0.5, "shim_return_delay_seconds", JOB, "role"), "{{role}}, half"),
                Query(quantile(0.95, "shim_return_delay_seconds", JOB, "role"), "{{role}}, 95 %"),
                unit="s",
            ),
        ],
    )


def _evidence() -> Section:
    pings = increase("shim_candidate_pings_total", KIND, "10m", "connection_kind")
    due = increase("shim_candidate_pings_due_total", KIND, "10m", "connection_kind")
    return Section(
        "Is the evidence whole?",
        [
            lines(
                "Pings of the candidate",
                "Of those that its heartbeat interval asks for. In shadow it lives on the control's "
                "pongs: one that never pings would pass, and then close every idle client (R16).",
                Query(f"{pings} / {due}", "{{connection_kind}}"),
                unit="percentunit",
                span=12,
                target=0.99,
            ),
            lines(
                "Spans",
                "Sent to the collector, and given up. Nothing is counted from traces.",
                Query(rate("shim_trace_sent_spans_total", JOB), "sent"),
                Query(rate("shim_trace_dropped_spans_total", JOB), "dropped"),
                unit="cps",
                span=12,
            ),
            lines(
                "Rows that wait for the ledger",
                "A queue that grows means a disk that is too slow.",
                Query(f"shim_ledger_queued_rows{{{JOB}}}", "{{instance}}"),
                unit="none",
            ),
            lines(
                "Age of the last commit",
                "It matters while rows wait.",
                Query(f"shim_ledger_commit_age_seconds{{{JOB}}}", "{{instance}}"),
                unit="s",
            ),
            lines(
                "Rows dropped",
                "Evidence that is lost: the ledger had no room for it.",
                Query(
                    f"rate(shim_ledger_dropped_rows_total{{{JOB}}}[$__rate_interval])",
                    "{{instance}}",
                ),
                unit="cps",
            ),
        ],
    )


def _process() -> Section:
    return Section(
        "The processes",
        [
            lines(
                "Lateness of the timers",
                "99 % of the shim's timers came at most so late: the event loop was busy.",
                Query(
                    quantile(0.99, "shim_timer_lateness_seconds", JOB, "instance"), "{{instance}}"
                ),
                unit="s",
            ),
            lines(
                "Pauses",
                "Share of the time in which the process did not run (R3).",
                Query(
                    f"rate(shim_paused_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"
                ),
                unit="percentunit",
            ),
            lines(
                "Processor",
                "Cores in use.",
                Query(
                    f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"
                ),
                unit="none",
            ),
            lines(
                "Memory",
                "Resident, with everything else that runs in the process.",
                Query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),
                unit="bytes",
                span=12,
            ),
            lines(
                "Files that may be open",
                "Connections as a share of the limit: at 1 no client can connect.",
                Query(
                    f"sum by (instance) (shim_connections{{{JOB}}})"
                    f" / sum by (instance) (process_max_fds{{{JOB}}})",
                    "{{instance}}",
                ),
                unit="percentunit",
                span=12,
            ),
        ],
    )
