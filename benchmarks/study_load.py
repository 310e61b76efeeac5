"""What a study's server bears: raters over loopback, each answering as fast as it is let.

    python benchmarks/study_load.py [--raters 200] [--trials 50] [--database URL]

One uvicorn process serves a study of drawn pictures; this process is all raters at once. Each asks
for the pair, fetches both pictures, answers, and waits for the next, with no pause to look: real
raters take seconds for what takes these milliseconds. Afterwards every answer that was acknowledged
is looked for in the database. Latency is that of POST /answer, from the request to its whole reply.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from tintype.study.create import create_study
from tintype.study.manifest import Study
from tintype.study.pictures import RgbImage
from tintype.study.settings import Settings
from tintype.study.storage import AnswerStore

_STATE = re.compile(r'data-state="([^"]*)"')


class Inverted:
    """A system that costs nothing: it takes red for blue."""

    name, origin = "inverted", "red and blue exchanged"

    def check(self, path: Path) -> None:
        """It colours every photograph."""

    def colorize(self, path: Path, true: RgbImage, seed: int) -> RgbImage:
        """The picture with two channels exchanged."""
        return np.ascontiguousarray(true[..., ::-1])


class Rater:
    """One connection that is kept, as a browser does.

    Attributes:
        acknowledged: position -> choice of each answer the server said it kept.
        latencies: seconds of each POST /answer.
    """

    def __init__(self, host: str, port: int, pictures: bool, number: int) -> None:
        self._at, self._pictures = (host, port), pictures
        self._choices = random.Random(number)  # which tells the raters' sessions apart
        self._cookie = ""
        self.acknowledged: dict[int, str] = {}
        self.latencies: list[float] = []

    async def work(self) -> None:
        """From consent to the last answer."""
        self._reader, self._writer = await asyncio.open_connection(*self._at)
        headers, _ = await self._ask("POST", "/consent", b"agree=yes")
        self._cookie = re.findall(r"(?mi)^set-cookie: ([^;]*)", headers)[0]
        _, page = await self._ask("GET", "/trial")
        found = _STATE.search(page.decode())
        assert found is not None
        state = json.loads(html.unescape(found[1]))
        while not state["done"]:
            state = await self._answer(state)
        self._writer.close()

    async def _answer(self, state: dict[str, Any]) -> dict[str, Any]:
        if self._pictures:
            sizes = {len((await self._ask("GET", "/" + state[s]))[1]) for s in ("left", "right")}
            assert len(sizes) == 1
        choice = self._choices.choice(("left", "right"))
        content = {
            "form_key": state["form_key"],
            "position": state["position"],
            "choice": choice,
            "reaction_ms": 0,
            "exposed_ms": 0,
            "layout": "row",
        }
        started = time.perf_counter()
        _, reply = await self._ask("POST", "/answer", json.dumps(content).encode())
        self.latencies.append(time.perf_counter() - started)
        self.acknowledged[state["position"]] = choice
        return json.loads(reply)["next"]

    async def _ask(self, method: str, path: str, body: bytes = b"") -> tuple[str, bytes]:
        kind = "json" if body.startswith(b"{") else "x-www-form-urlencoded"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: study\r\nContent-Type: application/{kind}\r\n"
            f"Cookie: {self._cookie}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        headers = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(headers.split(" ", 2)[1])
        if status not in (200, 303):
            raise SystemExit(f"{method} {path}: {headers}")
        length = int(re.findall(r"(?mi)^content-length: (\d+)", headers)[0])
        return headers, await self._reader.readexactly(length)


def prepared(folder: Path, trials: int) -> Study:
    """A study of noise, which is as long to send as any photograph."""
    from PIL import Image

    settings = Settings(trials=trials, practice_trials=0, catch_trials=0, seed=1)
    noise = np.random.default_rng(0)
    paths = []
    for k in range(2 * trials):
        small = noise.integers(0, 256, (8, 8, 3), np.uint8)
        path = folder / f"{k}.png"
        Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return create_study(folder / "study", paths, [Inverted()], settings)[0]


async def load(host: str, port: int, raters: int, pictures: bool, limit: float) -> list[Rater]:
    """All raters at once, for so many seconds at most."""
    everyone = [Rater(host, port, pictures, k) for k in range(raters)]
    await asyncio.wait_for(asyncio.gather(*(rater.work() for rater in everyone)), limit)
    return everyone


def lost_answers(study: Study, database: str | None, everyone: list[Rater]) -> int:
    """How many acknowledged answers the database does not have."""
    store = AnswerStore(study, database)
    kept = [{a.position: a.choice for a in rater.answers} for rater in store.raters()]
    store.close()
    # Sessions have no names: of equal answers any session's will do, but each only once.
    lost = 0
    for rater in everyone:
        best = max(kept, key=lambda answers: len(answers.items() & rater.acknowledged.items()))
        lost += len(rater.acknowledged.items() - best.items())
        kept.remove(best)
    return lost


def main() -> None:
    """Serve, load, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--raters", type=int, default=200)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--database", help="URL of an empty database; SQLite if not given")
    parser.add_argument("--without-pictures", action="store_true", help="answers alone")
    parser.add_argument("--limit", type=float, default=900, help="seconds after which it is over")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = prepared(Path(folder), options.trials)
        command = [sys.executable, "-m", "tintype", "study", "serve", str(study.folder)]
        command += ["--port", "0", "--rate-limit", "0"]
        if options.database:
            command += ["--database", options.database]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = urlsplit(server.stdout.readline().partition(" ")[0])
            started = time.perf_counter()
            pictures = not options.without_pictures
            everyone = asyncio.run(
                load(
                    str(address.hostname),
                    address.port or 0,
                    options.raters,
                    pictures,
                    options.limit,
                )
            )
            seconds = time.perf_counter() - started
        finally:
            server.terminate()
            server.wait()
        lost = lost_answers(study, options.database, everyone)
    latencies = 1000 * np.array([latency for rater in everyone for latency in rater.latencies])
    answers = len(latencies)
    p50, p99, most = np.quantile(latencies, [0.5, 0.99, 1])
    kind = options.database.partition(":")[0] if options.database else "SQLite"
    with_ = "with both pictures of each pair" if pictures else "without pictures"
    print(
        f"{options.raters} raters x {options.trials} trials, {with_}, {kind}, one server process, "
        f"raters on the same {os.cpu_count()} cores ({platform.machine()}; load average "
        f"{os.getloadavg()[0]:.1f})\n"
        f"{answers} answers in {seconds:.1f} s: {answers / seconds:.0f} answers/s\n"
        f"POST /answer: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {most:.0f} ms\n"
        f"lost answers: {lost}"
    )
    if lost or answers != options.raters * options.trials:
        raise SystemExit("answers were lost")


if __name__ == "__main__":
    main()
