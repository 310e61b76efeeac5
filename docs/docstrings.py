"""The reference of the library and of the presets' fields, from docstrings, for docs/tables.py."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import griffe

_SOURCES = Path(__file__).parent.parent / "src"
_LISTS = ("parameters", "attributes", "raises")


@cache
def _package() -> griffe.Object | griffe.Alias:
    options = {"warnings": False, "returns_named_value": False}
    return griffe.load(
        "tintype",
        search_paths=[_SOURCES],
        docstring_parser="google",
        docstring_options=options,  # pyright: ignore[reportArgumentType]
    )


def fields(*names: str) -> Iterator[str]:
    """Yield a table of what the attributes of classes mean.

    Args:
        names: dotted names below ``tintype``, e.g. ``models.cic.CicConfig``.
    """
    yield from ("| field | meaning |", "| --- | --- |")
    for owner in names:
        for kind, value in _sections(_package()[owner]):
            if kind == "attributes":
                for item in value:
                    named = ", ".join(f"`{name}`" for name in _names(item))
                    meaning = _line(item.description).replace("|", r"\|")
                    yield f"| {named} | {meaning} |"


def reference(*names: str) -> Iterator[str]:
    """Yield the reference of functions, modules, and classes with their public methods.

    Args:
        names: dotted names below ``tintype``, e.g. ``load``.
    """
    for name in names:
        entry = _package()[name]
        yield from (f"### {entry.name}", "")
        if entry.is_function:
            yield from _signature(entry)
        yield from _body(entry)
        if not entry.is_class:
            continue
        for member in entry.members.values():
            if member.is_function and member.is_public and member.docstring:
                yield from (f"#### {entry.name}.{member.name}", "")
                yield from _signature(member)
                yield from _body(member)


def _signature(entry: Any) -> Iterator[str]:
    # The slash is that of a self, which griffe leaves out.
    text = str(entry.signature(return_type=True)).replace("(/, ", "(")
    if len(text) > 88:
        inside, _, result = text.partition("(")[2].rpartition(")")
        lines = textwrap.wrap(inside, 84, break_long_words=False)
        text = "\n".join([f"{entry.name}(", *(f"    {line}" for line in lines), f"){result}"])
    yield from ("```py", text, "```", "")


def _body(entry: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Yield a docstring as Markdown: text, and lists of parameters, attributes and errors."""
    for kind, value in _sections(entry):
        if kind == "text":
            yield from (value, "")
        elif kind in ("returns", "yields"):
            yield from (f"{kind.capitalize()}: {_line(value[0].description)}", "")
        elif kind in _LISTS:
            heading = {"parameters": "Arguments", "attributes": "Attributes", "raises": "Raises"}
            yield from (f"{heading[kind]}:", "")
            for item in value:
                names = [item.annotation] if kind == "raises" else _names(item)
                named = ", ".join(f"`{name}`" for name in names)
                yield f"- {named}: {_line(item.description)}"
            yield ""


def _sections(entry: griffe.Object | griffe.Alias) -> Iterator[tuple[str, Any]]:
    if entry.docstring:
        for section in entry.docstring.parsed:
            yield section.kind.value, section.value


def _names(item: Any) -> list[str]:
    """Return the attributes of one item; of "a, b: ..." griffe takes b for the type of a."""
    text = f"{item.name} {item.annotation}" if item.name.endswith(",") else item.name
    return text.replace("(", "").replace(")", "").split(", ")


def _line(text: str) -> str:
    return " ".join(text.split())
