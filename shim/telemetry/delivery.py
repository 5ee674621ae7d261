"""Ended spans on their way to the collector: a bounded queue, one thread, and plain words about it.

It stands in for the SDK's batch processor, which drops a batch at its first failure, counts nothing
that can be read, logs each failure and may take 30 s to shut down.
"""

import logging
import threading
from collections import deque
from time import monotonic

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger(__name__)

SHUTDOWN_LIMIT = 2.0
"""Seconds that a shutdown may take, whatever the collector does."""

_EXPORTER_LOGS = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)


class Delivery(SpanProcessor):
    """Sends spans in batches; what the collector does not take is kept and tried again.

    `capacity` spans wait at most: when there are more, the oldest are dropped, and counted. Spans
    are sent when `batch` of them wait, or after `delay` seconds; so long it also takes until a
    collector that took nothing is tried again. `address` names the collector in
    the log, where each change of its state is one line.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        address: str,
        *,
        capacity: int = 8192,
        batch: int = 512,
        delay: float = 1.0,
    ) -> None:
        self.sent = 0
        self.dropped = 0
        self._exporter = exporter
        self._address = address
        self._capacity = capacity
        self._batch = batch
        self._delay = delay
        self._queue: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._in_flight = 0
        self._flushing = self._closing = self._closed = False
        self._answers = True
        self._dropped_before = 0
        self._heard = _ExporterLog()
        self._thread = threading.Thread(target=self._run, name="shim traces", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """How many spans wait, those that are being sent included."""
        with self._changed:
            return len(self._queue) + self._in_flight

    @property
    def answers(self) -> bool:
        """Whether the collector took what it was last sent."""
        return self._answers

    def on_start(self, span: Span, parent_context: Context | None = None) -> None: ...

    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        with self._changed:
            if self._closing:
                self.dropped += 1
                return
            self._queue.append(span)
            self._drop_excess()
            if len(self._queue) >= self._batch:
                self._changed.notify_all()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits; answer whether it was all taken in time."""
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: not self._queue and not self._in_flight, timeout_millis / 1000
            )
            self._flushing = False
        return done

    def shutdown(self) -> None:
        """Send what waits if the collector takes it within `SHUTDOWN_LIMIT`; drop it otherwise."""
        ends = monotonic() + SHUTDOWN_LIMIT
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join(ends - monotonic())
        with self._changed:
            self._closed = True
            lost = len(self._queue) + self._in_flight
            self.dropped += lost
            self._queue.clear()
        self._exporter.shutdown()
        if lost:
            log.warning("traces: %d spans did not reach the collector at %s", lost, self._address)

    # -- The thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        last = False
        try:
            while not last:
                with self._changed:
                    self._changed.wait_for(self._is_due, self._delay)
                    last = self._closing
                while batch := self._take():
                    if not self._send(batch):
                        break
                if not last and not self._answers:
                    with self._changed:
                        self._changed.wait_for(lambda: self._closing, self._delay)
        finally:
            self._heard.release()

    def _is_due(self) -> bool:
        waits = len(self._queue)
        return self._closing or waits >= self._batch or (self._flushing and waits > 0)

    def _take(self) -> list[ReadableSpan]:
        with self._changed:
            batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            self._in_flight = len(batch)
            if not batch:
                self._changed.notify_all()
            return batch

    def _send(self, batch: list[ReadableSpan]) -> bool:
        """Try once; what is not taken goes back to where it was."""
        self._heard.lines.clear()
        try:
            taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
            reason = self._heard.first
        except Exception as error:
            taken, reason = False, f"{type(error).__name__}: {error}"
        with self._changed:
            if self._closed:
                return False
            self._in_flight = 0
            if taken:
                self.sent += len(batch)
            else:
                self._queue.extendleft(reversed(batch))
                self._drop_excess()
        if taken != self._answers:
            self._answers = taken
            if taken:
                log.warning(
                    "traces: the collector at %s takes spans again; %d were dropped meanwhile",
                    self._address,
                    self.dropped - self._dropped_before,
                )
            else:
                self._dropped_before = self.dropped
                log.warning("traces: the collector at %s takes no spans: %s", self._address, reason)
        return taken

    def _drop_excess(self) -> None:
        while len(self._queue) > self._capacity:
            self._queue.popleft()
            self.dropped += 1


class _ExporterLog(logging.Filter):
    """Hears what the exporters want in the log (a line, or a traceback, for each failure) instead."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        for name in _EXPORTER_LOGS:
            # Before the exporters' own filter, which withholds what was said a while ago already.
            logging.getLogger(name).filters.insert(0, self)

    @property
    def first(self) -> str:
        """The first thing said: what was wrong, before giving up is reported."""
        return self.lines[0] if self.lines else "no reason was given"

    def filter(self, record: logging.LogRecord) -> bool:
        self.lines.append(record.getMessage())
        return False

    def release(self) -> None:
        for name in _EXPORTER_LOGS:
            logging.getLogger(name).removeFilter(self)
