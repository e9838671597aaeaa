"""A published figure beside ours, as a table."""

from __future__ import annotations

from rich.table import Table

from aimco.plain_data import PlainView


def table(report: PlainView) -> Table:
    """Its rows with their verdicts, and below how many published figures were reproduced and why others were not."""
    result = Table(title=f"{report['reference']}: {report['source']}")
    for column in ("row", "published", "expected", "ours", "tolerance", "unit", "verdict"):
        result.add_column(column)
    for row in report["rows"]:
        numbers = ["-" if row[n] is None else f"{row[n]:.4g}" for n in ("published", "expected", "ours", "tolerance")]
        limit = f" ({row['limit']})" if row["limit"] else ""
        result.add_row(row["row"] + limit, *numbers, row["unit"], row["status"])
    counts, wanting = report["tally"], [row for row in report["rows"] if row["status"] == "not reproduced"]
    summary = f"{counts['reproduced']} of {counts['published']} published figures reproduced, {counts['not reproduced']} not reproduced"
    if checked := counts["met"] + counts["missed"]:
        summary += f"; {counts['met']} of {checked} expected figures met"
    reasons = dict.fromkeys(row["why"] for row in wanting if row["why"])
    result.caption = ". ".join([summary, *(f"Not reproduced: {why}" for why in reasons)])
    return result
