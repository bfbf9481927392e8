"""The table of an ablation at the terminal, and what it says in words."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from llmbench.cli.ablation import ALL, FIXED, OURS, AblationPoint, Row
from llmbench.system.console import Terminal
from llmbench.system.number_format import percent, seconds
from llmbench.system.number_format import points as in_points


def show(points: Sequence[AblationPoint], table: Sequence[Row], terminal: Terminal) -> None:
    """Prints the table and what follows from it."""
    terminal.out.print()
    terminal.out.print(_table(table))
    for sentence in sentences(points, table):
        terminal.say(sentence)


def _table(table: Sequence[Row]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("the guide's table", no_wrap=True)
    for heading in ("time", "less", "claim", "held", "accuracy", "no answer", "same questions"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in table:
        held = {True: "yes", False: "no", None: "" if row.claim is None else "not shown"}[row.held]
        claim = "" if row.claim is None else percent(row.claim, 0)
        if row.claim_high is not None:
            claim = f"{100 * (row.claim or 0):.0f}-{percent(row.claim_high, 0)}"
        drawn.add_row(
            escape(row.title),
            seconds(row.time_s),
            "" if row.reduction is None else percent(row.reduction, 0),
            claim,
            held,
            percent(row.accuracy),
            percent(row.no_answer),
            _points(row),
        )
    return drawn


def _points(row: Row) -> str:
    if row.change is None:
        return ""
    interval = f" [{in_points(row.ci95[0])}, {in_points(row.ci95[1])}]" if row.ci95 else ""
    return f"{in_points(row.change)}{interval}"


def sentences(points: Sequence[AblationPoint], table: Sequence[Row]) -> list[str]:
    """What the table says in words."""
    said = []
    claimed = [row for row in table if row.claim is not None and row.name != ALL]
    for verdict, held in (("held", True), ("did not hold", False)):
        titles = [
            f"{row.title} ({percent(row.reduction, 0)}, claimed {percent(row.claim, 0)})"
            for row in claimed
            if row.held is held
        ]
        if titles:
            said.append(f"Claims that {verdict}: {', '.join(titles)}.")
    said += [f"Not shown: {row.title}, because {row.note}." for row in table if row.note]
    by_name = {row.name: row for row in table}
    for name in (ALL, OURS):
        row = by_name.get(name)
        if row is not None and row.reduction is not None:
            said.append(_whole(row))
    if any(point.fixed for point in points):
        said.append(f"{FIXED[0].upper()}{FIXED[1:]}: accuracies are not shown.")
    return said


def _whole(row: Row) -> str:
    """One sentence for all optimisations at once: their time, and what they cost in accuracy."""
    reduction = row.reduction or 0
    said = f"{row.title}: {percent(abs(reduction), 0)} {'less' if reduction >= 0 else 'more'} time"
    if row.claim is not None:
        highest = percent(row.claim_high or row.claim, 0)
        said += f", where the guide claims {100 * row.claim:.0f} to {highest}"
    if row.change is None or row.ci95 is None:
        return f"{said}."
    low, high = row.ci95
    on = f"on the {row.questions} questions that both asked"
    points = f"{in_points(row.change)} points (95% interval [{in_points(low)}, {in_points(high)}]) {on}"
    if high < 0:
        return f"{said}; accuracy fell: {points}."
    return f"{said}; accuracy {points}{', more than chance' if low > 0 else ', which chance could be'}."
