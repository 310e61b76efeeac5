"""Pages that MkDocs adds while it builds: those outside docs/."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
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
