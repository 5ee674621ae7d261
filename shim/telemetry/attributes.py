"""The names of the shim's own span attributes; docs/telemetry.md says what each attribute means.

Durations are seconds, and have `seconds` in their names.
"""

KEEP = "shim.keep"
"""On every span of the shim: true if the span is of interest by itself, false for routine spans."""

VERDICT = "shim.verdict"
VERDICT_KIND = "shim.verdict_kind"
RECOVERED = "shim.recovered"
RULE = "shim.expected_rule"
SKEW = "shim.skew_seconds"
FIRST = "shim.first"
ACTING = "shim.acting"
STAGE = "shim.stage"
STAGE_BEFORE = "shim.stage_before"

ROLE = "shim.role"
ACTED = "shim.acted"
SILENCE = "shim.silence_seconds"

CONNECTION = "shim.connection"
CONNECTION_KIND = "shim.connection_kind"
USER = "shim.user"
SESSION = "shim.session"
PACKAGE = "shim.package"
REGISTRATION = "shim.registration.trace_id"

CAUSE = "shim.close.cause"
CODE_INTENDED = "shim.close.code_intended"
CODE_OBSERVED = "shim.close.code_observed"
CONNECTED = "shim.connected_seconds"

OUTCOME = "shim.outcome"
DELAY = "shim.return_delay_seconds"
BY_PERCENTAGE = "shim.by_percentage"

CALL = "shim.monitor_call"
REASON = "shim.reason"
BRAKE_ENGAGED = "shim.brake.engaged"
GUARD_HOLDING = "shim.guard.holding"
ACTING_FOR = "shim.guard.acting_for"
FLAGS_FILE = "shim.flags.file"
FLAGS_DIGEST = "shim.flags.digest"
FLAGS_DIGEST_BEFORE = "shim.flags.digest_before"

SUPPRESSED = "shim.suppressed"
