"""Nothing that tintype runs leaves a file behind or calls anybody."""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image
from tiny_models import chroma_model

SOURCES = Path(__file__).parents[2]

LIBRARY = """
import sys, tintype
from tintype.photo import Photo
tintype.load(sys.argv[1]).colorize(Photo.open(sys.argv[2]))
"""
EXPORT = """
import sys
import tintype.export.onnx as export
export.load_onnxruntime().InferenceSession(sys.argv[1])
"""
UNGUARDED = "import onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1])"


@pytest.fixture
def calls():
    """A proxy that all variables of curl name; the list of what connected to it."""
    found: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    found.append(connection.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        yield server.getsockname()[1], found
        server.close()


def left(folder, calls, *command):
    """Run in a fresh home, with no variable that says CI or telemetry; which files are there?"""
    home = folder / "home"
    home.mkdir()
    address = f"http://127.0.0.1:{calls[0]}"
    proxies = {f"{kind}_proxy": address for kind in ("http", "https", "all")}
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(home),
        **proxies,
        **{name.upper(): value for name, value in proxies.items()},
    }
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


@pytest.fixture
def model(tmp_path):
    return chroma_model(tmp_path, "plain.small").path


def test_without_the_switch_onnx_runtime_leaves_a_device_id(tmp_path, calls, model):
    # Else the tests below would prove nothing. It connects later, after what these runs last.
    import onnxruntime

    version = tuple(map(int, re.findall(r"\d+", onnxruntime.__version__)[:2]))
    found = left(tmp_path, calls, "-c", UNGUARDED, model.with_suffix(".onnx"))
    assert any("deviceid" in name for name in found) == (version >= (1, 29))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["library", "colorize", "doctor", "evaluate", "export"])
def test_nothing_leaves_this_computer(tmp_path, calls, model, way):
    photo = tmp_path / "photo.png"
    Image.linear_gradient("L").resize((40, 30)).save(photo)
    color = tmp_path / "color.png"
    gradient, even = Image.linear_gradient("L"), Image.new("L", (256, 256), 90)
    Image.merge("RGB", [gradient, even, even]).save(color)
    tintype = ("-m", "tintype")
    commands = {
        "library": ("-c", LIBRARY, model, photo),
        "colorize": (*tintype, "colorize", photo, "-m", model, "--json"),
        "doctor": (*tintype, "doctor"),
        "evaluate": (*tintype, "evaluate", color, "-m", model),
        "export": ("-c", EXPORT, model.with_suffix(".onnx")),
    }
    assert left(tmp_path, calls, *commands[way]) == []
    assert calls[1] == []


def test_onnx_runtime_is_loaded_in_one_way():
    ways = re.compile(r"^\s*(import|from) onnxruntime", re.MULTILINE)
    typed = re.compile(r"^if TYPE_CHECKING:\n(    .*\n|\n)+", re.MULTILINE)
    for folder in ("src", "benchmarks"):
        for file in (SOURCES / folder).rglob("*.py"):
            assert not ways.search(typed.sub("", file.read_text())), file
