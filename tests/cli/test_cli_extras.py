"""A package that is missing is named in one line, before anything is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

WEB = "fastapi jinja2 sqlalchemy uvicorn"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "packages", "said"),
    [
        ("train tint --data a --out run --steps 3", "torch", "pip install '.[train]'"),
        ("train tint --data a --out run --steps 3", "safetensors", "pip install '.[train]'"),
        ("export run --name tint.small", "torch", "pip install '.[export]'"),
        ("evaluate a.png", "skimage", "run  pip install '.[evaluate]'  in the folder that"),
        ("colorize s3://archive/a.png -o .", "fsspec", "pip install '.[cloud]'"),
        ("colorize a.png --results out.parquet", "pyarrow", "pip install pyarrow"),
        ("study serve study", WEB, "pip install '.[web]'"),
        # The others get as far as they can without.
        ("study create study --real study", WEB, ""),
        ("study report study", WEB, ""),
        ("study simulate study", WEB, ""),
    ],
)
def test_what_to_install_is_said(words: str, packages: str, said: str, tmp_path: Path) -> None:
    Image.new("L", (8, 6), 200).save(tmp_path / "a.png")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({packages.split()!r}))\n"  # none can be had
        f"from tintype.cli import main; sys.exit(main({words.split()!r}))"
    )
    # A process of its own: a package imported anew would stay behind for the tests after it.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tintype: ")
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
