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
        [_now(), _rollout(), _agreement(), _outcomes(), _evidence(), _fleet(), _process()],
    )


def _now() -> Section:
    return Section(
        "Now",
        [
            number(
                "Processes",
                "Processes that Prometheus can scrape.",
                f"sum(up{{{JOB}}})",
                unit="none",
            ),
            state(
                "Brake",
                "Engaged: everyone is at shadow at most (R22).",
                f"max(shim_brake_engaged{{{JOB}}})",
                good="released",
                bad="ENGAGED",
            ),
            state(
                "Guard",
                "Holding: the candidate wants to close very many connections; its closes are held (R6b).",
                f"max(shim_guard_holding{{{JOB}}})",
                good="quiet",
                bad="HOLDING",
            ),
            state(
                "Candidate",
                "Quarantined: the candidate failed three times and does not run any more (R5).",
                f"max(shim_candidate_quarantined{{{JOB}}})",
                good="works",
                bad="QUARANTINED",
            ),
            state(
                "Flags file",
                "Refused: the last good file stays in force (R20).",
                f"max(shim_flags_stale{{{JOB}}})",
                good="in force",
                bad="REFUSED",
            ),
            number(
                "Age of the flags",
                "Time since the flags in use were read; where processes differ, the oldest flags.",
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
                "Episodes that wait for their verdict.",
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
                "Open connections, by the stage of their user.",
                Query(f"sum by (stage) (shim_connections{{{KIND}}})", "{{stage}}"),
                unit="none",
                stacked=True,
            ),
            lines(
                "Users",
                "Users with an open connection, by the monitor that acts for them; counted once a minute.",
                Query(f"sum by (role) (shim_users{{{KIND}}})", "{{role}} acts"),
                unit="none",
                stacked=True,
            ),
            lines(
                "Time for which the candidate acts",
                "The candidate's share of the time that connections were open.",
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
                "New connections. If closings rise at the same time, clients are closed and return.",
                Query(rate("shim_registrations_total", KIND, "stage"), "{{stage}}"),
                unit="cps",
                stacked=True,
            ),
            lines(
                "Closings",
                "Connections that ended, by cause and by the close code that was sent.",
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
                "Matched as a share of matched and mismatched, where the shadow decided first (R14). "
                "The dashed line is the gate's default target. The gate itself asks for more: `shim gate`.",
                Query(agreement("$window"), "{{connection_kind}}"),
                unit="percentunit",
                target=0.99,
            ),
            lines(
                "Episodes behind it",
                "The number of episodes that the agreement is a share of. No data is never success.",
                Query(conclusive("$window"), "{{connection_kind}}"),
                unit="none",
            ),
            lines(
                "Verdicts",
                "All verdicts, also those that prove nothing.",
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
                "The share of closed clients that came back in time (R15). If the candidate is below "
                "the control, its closing keeps clients away, however well the monitors agree.",
                Query(return_rate("$window"), "{{role}}, {{connection_kind}}"),
                unit="percentunit",
            ),
            lines(
                "Outcomes",
                "Whether the clients that a monitor closed came back.",
                Query(rate("shim_outcomes_total", KIND, "role, outcome"), "{{role}}: {{outcome}}"),
                unit="cps",
                stacked=True,
            ),
            lines(
                "Time until they are back",
                "Half of the clients are back after the lower line, 95 % after the upper line.",
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
                "The share of the pings that the heartbeat interval asks for. In shadow the candidate lives "
                "on the answers to the control's pings. A candidate that never pings would later close "
                "every idle client (R16).",
                Query(f"{pings} / {due}", "{{connection_kind}}"),
                unit="percentunit",
                span=12,
                target=0.99,
            ),
            lines(
                "Spans",
                "Spans that were sent to the collector, and dropped spans. No count comes from traces.",
                Query(rate("shim_trace_sent_spans_total", JOB), "sent"),
                Query(rate("shim_trace_dropped_spans_total", JOB), "dropped"),
                unit="cps",
                span=12,
            ),
            lines(
                "Rows that wait for the ledger",
                "A queue that grows means that the disk is too slow.",
                Query(f"shim_ledger_queued_rows{{{JOB}}}", "{{instance}}"),
                unit="none",
            ),
            lines(
                "Age of the last commit",
                "Time since the last commit; it matters while rows wait.",
                Query(f"shim_ledger_commit_age_seconds{{{JOB}}}", "{{instance}}"),
                unit="s",
            ),
            lines(
                "Rows dropped",
                "Rows that are lost because the queue was full.",
                Query(
                    f"rate(shim_ledger_dropped_rows_total{{{JOB}}}[$__rate_interval])",
                    "{{instance}}",
                ),
                unit="cps",
            ),
        ],
    )


def _fleet() -> Section:
    return Section(
        "The fleet",
        [
            lines(
                "Record behind",
                "How long ago the record of each process in the fleet's store ends. After an hour the gate is "
                "insufficient. Without a fleet there is nothing to show.",
                Query(f"shim_store_record_age_seconds{{{JOB}}}", "{{instance}}"),
                unit="s",
            ),
            lines(
                "Rows to ship",
                "Rows of each outbox that are not in the store yet. They grow while the store is away.",
                Query(f"shim_store_waiting_rows{{{JOB}}}", "{{instance}}"),
                unit="none",
            ),
            lines(
                "Reach of the store",
                "Processes whose rows reach the store, that hear of the fleet's brake, and that judge the "
                "brake for all: one process does.",
                Query(f"sum(shim_store_answers{{{JOB}}})", "ship"),
                Query(f"sum(shim_fleet_linked{{{JOB}}})", "hear"),
                Query(f"sum(shim_fleet_leader{{{JOB}}})", "judge"),
                unit="none",
            ),
            lines(
                "Outcomes behind",
                "How long ago the time ends up to which the outcomes of all processes are concluded.",
                Query(f"min(shim_fleet_concluded_age_seconds{{{JOB}}})", "all processes"),
                unit="s",
            ),
            lines(
                "Clocks",
                "How far the store's clock is ahead of the clock of each process.",
                Query(f"shim_store_clock_offset_seconds{{{JOB}}}", "{{instance}}"),
                unit="s",
            ),
            lines(
                "What differs",
                "How many different settings and flags are in force, and in how many processes the brake is "
                "engaged. During a deploy there are two of each.",
                Query(f"count(count by (digest) (shim_settings_info{{{JOB}}}))", "settings"),
                Query(f"count(count by (digest) (shim_flags_info{{{JOB}}} == 1))", "flags"),
                Query(f"sum(shim_brake_engaged{{{JOB}}})", "brake engaged"),
                unit="none",
            ),
        ],
    )


def _process() -> Section:
    return Section(
        "The processes",
        [
            lines(
                "Lateness of the timers",
                "99 % of the shim's timers came at most this late; the cause is a busy event loop.",
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
                "Processor cores in use.",
                Query(
                    f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"
                ),
                unit="none",
            ),
            lines(
                "Memory",
                "Resident memory of the whole process.",
                Query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),
                unit="bytes",
                span=12,
            ),
            lines(
                "Files that may be open",
                "Connections as a share of the limit. At 100 % no client can connect.",
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
