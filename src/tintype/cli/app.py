"""The list of commands; the module of each is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from tintype import __version__

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions


class _HelpFormatter:
    """Draw the help as cyclopts does, without the line breaks of the docstrings it is made of."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        from cyclopts.help import DefaultFormatter
        from rich.text import Text

        for entry in panel.entries:
            text = getattr(entry.description, "primary_renderable", None)
            if isinstance(text, Text):
                text.plain = text.plain.replace("\n", " ")
        DefaultFormatter()(console, options, panel)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)


app = App(
    name="tintype",
    help="Turn black-and-white photographs into colour.",
    help_format="plaintext",  # the default imports a Markdown parser
    help_formatter=_HelpFormatter(),
    version=__version__,
    version_flags=["--version", "-V"],
    suppress_keyboard_interrupt=False,
)
#: Each names a module and the function in it; ``import`` is a keyword of Python, hence the _.
_COMMANDS = (
    *("colorize", "studio", "score", "models", "evaluate", "study", "train", "export", "import_"),
    "doctor",
)
for _order, _name in enumerate(_COMMANDS):
    app.command(f"tintype.cli.{_name}:{_name}", name=_name.rstrip("_"), sort_key=_order)


def load_all() -> None:
    """Import every command: the help that lists them shows their docstrings."""
    for name in _COMMANDS:
        app[name.rstrip("_")]
