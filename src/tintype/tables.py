"""Tables as text, in aligned columns."""

from __future__ import annotations

import io
from collections.abc import Sequence

_UNLIMITED = 100_000  # characters: no terminal's width


def format_table(
    rows: Sequence[Sequence[str]],
    *,
    header: bool = False,
    right: bool = False,
    width: int | None = None,
    styled: bool = False,
) -> str:
    """Return rows of cells as lines with aligned columns.

    Args:
        rows: of one length, without line breaks.
        header: the first row is the heading.
        right: align all columns but the first to the right.
        width: of a terminal, in characters; longer cells are wrapped. None wraps nothing.
        styled: with a terminal's codes: the heading is bold, unless NO_COLOR says otherwise.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0))
    head, body = (rows[0], rows[1:]) if header else ([""] * len(rows[0]), rows)
    for k, title in enumerate(head):
        justify = "right" if right and k else "left"
        table.add_column(Text(title, "bold"), justify=justify, no_wrap=width is None)
    for row in body:
        table.add_row(*map(Text, row))
    text = io.StringIO()
    console = Console(
        file=text, width=width or _UNLIMITED, force_terminal=styled, force_jupyter=False
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
