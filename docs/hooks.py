"""Pages that MkDocs makes while it builds: the repository's own, and the command line's."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
_COMMANDS = "<!-- commands -->"
# What is of use only to those who read a page in the repository.
_REPOSITORY = re.compile(r"<!-- repository -->\n.*?<!-- end of repository -->\n\n?", re.DOTALL)
#: Pages that lie outside docs/, and their names in the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        for other, name in PAGES.items():
            text = text.replace(f"]({other}", f"]({name}")
        text = re.sub(r"(\]\(|src=\")docs/", r"\1", text)
        files.append(File.generated(config, page, content=text))
    for name in ("LICENSE", "CITATION.cff"):
        files.append(File.generated(config, name, content=(ROOT / name).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the reference of the command line, written by its parser, where a page asks for it.

    What is for readers of the repository is left out.
    """
    markdown = _REPOSITORY.sub("", markdown)
    if _COMMANDS not in markdown:
        return markdown
    from tintype.cli.app import app, load_all

    load_all()
    with mock.patch("sys.argv", ["tintype"]):  # else usage begins with the command that builds this
        text = app.generate_docs(output_format="markdown")
    _, _, commands = text.partition("\n## tintype ")
    return markdown.replace(_COMMANDS, f"## tintype {commands}")
