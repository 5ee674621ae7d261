"""PromQL that more than one panel needs. `$job` and `$connection_kind` are variables of every board.

Counters are asked for their `increase` over a window, summed over all processes of the job.
"""

JOB = 'job=~"$job"'
KIND = f'{JOB}, connection_kind=~"$connection_kind"'


def increase(metric: str, labels: str, window: str, by: str = "") -> str:
    """How much the counter grew within the window; `by` are the labels to keep."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping}(increase({metric}{{{labels}}}[{window}]))"


def rate(metric: str, labels: str, by: str = "") -> str:
    """Events a second, over what Grafana finds right for the scrape interval."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping}(rate({metric}{{{labels}}}[$__rate_interval]))"


def agreement(window: str) -> str:
    """Matched of matched and mismatched, where the shadow decided first (R14), by kind."""
    evidence = f'{KIND}, informative="true"'
    matched = increase(
        "shim_verdicts_total", f'{evidence}, verdict="matched"', window, "connection_kind"
    )
    judged = conclusive(window)
    return f"{matched} / {judged}"


def conclusive(window: str) -> str:
    """The episodes that agreement is a share of, by kind; no improvements (R14)."""
    labels = f'{KIND}, informative="true", verdict=~"matched|mismatched", improvement!="true"'
    return increase("shim_verdicts_total", labels, window, "connection_kind")


def return_rate(window: str) -> str:
    """Returned of returned and lost, by acting monitor and kind (R15).

    Only over users who got their stage by percentage: those are comparable.
    """
    labels = f'{KIND}, by_percentage="true"'
    by = "role, connection_kind"
    returned = increase("shim_outcomes_total", f'{labels}, outcome="returned"', window, by)
    judged = increase("shim_outcomes_total", f'{labels}, outcome=~"returned|lost"', window, by)
    return f"{returned} / {judged}"


def quantile(share: float, metric: str, labels: str, by: str = "") -> str:
    """A quantile of a histogram, over the rate interval."""
    buckets = rate(f"{metric}_bucket", labels, f"le, {by}" if by else "le")
    return f"histogram_quantile({share}, {buckets})"
