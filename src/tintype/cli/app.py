"""The commands. Their modules are thin: each imports what it works with only when it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cyclopts import App

from tintype.cli.colorize import colorize
from tintype.cli.doctor import doctor
from tintype.cli.evaluate import evaluate
from tintype.cli.export import export
from tintype.cli.models import models
from tintype.cli.score import score
from tintype.cli.studio import studio
from tintype.cli.study import study
from tintype.cli.train import train


def _version() -> str:
    import tintype

    return tintype.__version__


app = App(
    name="tintype",
    help="Turn black-and-white photographs into colour.",
    help_format="plaintext",  # the default imports a Markdown parser
    version=_version,
    version_flags=["--version", "-V"],
    suppress_keyboard_interrupt=False,
)
_COMMANDS: tuple[Callable[..., Any] | App, ...] = (
    *(colorize, studio, score, models, evaluate, study, train, export, doctor),
)
for _order, _command in enumerate(_COMMANDS):
    if isinstance(_command, App):
        _command.sort_key = _order
        app.command(_command)
    else:
        app.command(_command, sort_key=_order)
