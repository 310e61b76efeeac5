"""The list of commands; the module of each is imported when it is used."""

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
