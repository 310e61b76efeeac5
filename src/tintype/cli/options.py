"""Kinds of options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token
from cyclopts.validators import Number


def whole(type_: object, tokens: Sequence[Token]) -> int:
    """A whole number as it is written: cyclopts itself would round 1.5."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'"{tokens[0].value}" is not a whole number.') from None


Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Json = Annotated[
    bool,
    Parameter(negative="", show_default=False, help="print one JSON object on standard output."),
]
Whole = Annotated[int, Parameter(converter=whole)]
FromZero = Annotated[int, Parameter(converter=whole, validator=Number(gte=0))]
Count = Annotated[int, Parameter(converter=whole, validator=Number(gte=1))]
Samples = Annotated[int, Parameter(converter=whole, validator=Number(gte=1, lte=64))]
Positive = Annotated[float, Parameter(validator=Number(gt=0))]
Threads = Annotated[
    int | None,
    Parameter(
        converter=whole,
        validator=Number(gte=1, lte=1024),
        show_default=lambda _: "one per core",
        help="CPU threads to use.",
    ),
]
