"""The commands. The module of each is imported when it is used."""

from __future__ import annotations

from cyclopts import App

from tintype import __version__

app = App(
    name="tintype",
    help="Turn black-and-white photographs into colour.",
    help_format="plaintext",  # the default imports a Markdown parser
    version=__version__,
    version_flags=["--version", "-V"],
    suppress_keyboard_interrupt=False,
)
#: Each is a function of its own name in a file of its own name; ``import`` is Python's own word.
_COMMANDS = (
    *("colorize", "studio", "score", "models", "evaluate", "study", "train", "export", "import_"),
    "doctor",
)
for _order, _name in enumerate(_COMMANDS):
    app.command(f"tintype.cli.{_name}:{_name}", name=_name.rstrip("_"), sort_key=_order)


def load_all() -> None:
    """Import every command, which the help that lists them describes by their docstrings."""
    for name in _COMMANDS:
        app[name.rstrip("_")]
