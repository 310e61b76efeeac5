"""Measure the studio: requests a second beside the command line, clicks, memory.

    python benchmarks/studio.py [--photos 24] [--megapixels 1] [--memory 0]

Clients send photographs to the API; in the same run as many processes as the studio has workers
color them by `tintype colorize --threads 1`. Then the time from a choice on the page to its
picture, at the preview of a photograph of 12 megapixels; a click is a colour set where the model
takes hints, else the network is run anew for another reason. With --memory N as many photographs
of 12 megapixels are sent one after the other, and the memory of the server and its workers is
looked at.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_FORM = {"Content-Type": "multipart/form-data; boundary=x"}
_JSON = {"Content-Type": "application/json"}


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description="Measure the studio.")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--megapixels", type=float, default=1)
    parser.add_argument("--memory", type=int, default=0)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, studio() as (process, place):
        print(f"{CORES} cores, load {os.getloadavg()[0]:.1f}")
        folder = Path(name)
        photos = write_photos(folder, words.photos, words.megapixels)
        send(place, photos[0])  # the workers load their model
        send(place, photos[0])
        for clients in (1, 4, 16):
            requests(place, photos, clients)
        seconds = command(folder, photos)
        print(f"tintype colorize, {CORES} processes: {len(photos) / seconds:.2f} a second")
        large = write_photos(folder / "large", 1, 12)[0]
        clicks(place, large)
        if words.memory:
            memory(process.pid, place, large, words.memory)


@contextmanager
def studio() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server, and its host and port."""
    command = [sys.executable, "-m", "tintype", "studio", "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, str(urlsplit(process.stdout.readline().split()[0]).netloc)
    finally:
        process.terminate()
        process.wait()


def write_photos(folder: Path, count: int, megapixels: float) -> list[Path]:
    """Write JPEGs with some structure and grain."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    size = (round(height * 4 / 3), height)
    paths = []
    for k in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), float)
        gray = np.clip(smooth + 6 * random.standard_normal(smooth.shape), 0, 255)
        paths.append(folder / f"{k}.jpg")
        Image.fromarray(gray.astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def ask(place: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Make a request on a connection of its own."""
    connection = http.client.HTTPConnection(place, timeout=600)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    assert response.status < 300, content[:300]
    return content


def send(place: str, photo: Path) -> bytes:
    """Color a photograph by the API."""
    head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    body = head + photo.read_bytes() + b"\r\n--x--\r\n"
    return ask(place, "POST", "/api/v1/colorize", body, _FORM)


def requests(place: str, photos: list[Path], clients: int) -> None:
    """Print requests a second and their durations for so many clients at once."""
    left, seconds = list(photos), []

    def client() -> None:
        while left:
            photo, started = left.pop(), time.perf_counter()
            send(place, photo)
            seconds.append(time.perf_counter() - started)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(photos) / (time.perf_counter() - started)
    median, p99 = np.percentile(seconds, (50, 99))
    print(f"{clients:2} clients: {rate:.2f} a second, median {median:.2f} s, p99 {p99:.2f} s")


def command(folder: Path, photos: list[Path]) -> float:
    """Return the seconds of the command line for the same, in as many processes as cores."""
    processes = []
    started = time.perf_counter()
    for k in range(CORES):
        out = folder / f"out{k}"
        out.mkdir()
        words = ["colorize", *map(str, photos[k::CORES]), "--threads", "1", "-o", f"{out}/"]
        processes.append(subprocess.Popen([sys.executable, "-m", "tintype", *words], stderr=-3))
    for process in processes:
        assert process.wait() == 0
    return time.perf_counter() - started


def clicks(place: str, photo: Path) -> None:
    """Print the time from a choice on the page to its picture."""
    body = photo.read_bytes()
    id = json.loads(ask(place, "POST", "/session/photos?name=a.jpg", body, {}))["id"]

    def everything() -> Any:
        return json.loads(ask(place, "GET", "/session", b"", {}))

    while everything()["photos"][0]["state"] != "ready":
        time.sleep(0.1)
    everything_ = everything()
    settings = everything_["photos"][0]["settings"]
    model = next(one for one in everything_["models"] if one["name"] == settings["model"])
    where = f"/session/photos/{id}"

    def timed(**changes: Any) -> float:
        started = time.perf_counter()
        wanted = {**settings, **changes}
        ask(place, "POST", f"{where}/settings", json.dumps(wanted).encode(), _JSON)
        ask(place, "POST", f"{where}/show", json.dumps({"settings": wanted}).encode(), _JSON)
        return time.perf_counter() - started

    options = settings["options"]
    slider = [timed(options={**options, "vividness": k / 40}) for k in range(1, 30)]
    print(f"slider to picture: median {1000 * statistics.median(slider):.0f} ms")
    hints = [[{"x": 40 * k, "y": 50, "color": "#8a3324"}] for k in range(1, 16)]
    if model["hints"]:
        click = [timed(hints=some) for some in hints]
    else:
        click = [timed(options={**options, "normalise": False})]
    print(f"click to picture: median {1000 * statistics.median(click):.0f} ms of {len(click)}")


def memory(server: int, place: str, photo: Path, count: int) -> None:
    """Print the memory of the server and its workers over many large photographs."""
    seen = []
    for k in range(count):
        send(place, photo)
        seen.append(sum(map(resident, [server, *children(server)])))
        if k in (9, count - 1) or (k + 1) % 100 == 0:
            print(f"after {k + 1} photographs of 12 megapixels: {seen[-1] / 2**20:.0f} MiB")


def children(process: int) -> list[int]:
    """Return the processes that one started (Linux)."""
    threads = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


def resident(process: int) -> int:
    """Return the bytes of memory that a process has (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
