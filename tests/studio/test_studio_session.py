"""What the page asks of the server: pictures to look at, suggestions, choices, results."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from studio.conftest import encoded, until
from studio.misbehaving import ENDS, HANGS

from tintype.photo import Photo
from tintype.runtime.colorizer import Colorizer
from tintype.runtime.hints import Hint
from tintype.studio.app import Studio
from tintype.studio.engine import Engine
from tintype.studio.levels import read_level, write_levels
from tintype.studio.picture import shown_name
from tintype.web.workers import WorkError


def add(client: TestClient, content: bytes, name: str = "a.jpg", wait: bool = True) -> str:
    response = client.post("/session/photos", params={"name": name}, content=content)
    assert response.status_code == 201, response.text
    id = response.json()["id"]
    if wait:
        until(lambda: photo(client, id)["state"] not in ("waiting", "working"))
    return id


def photo(client: TestClient, id: str) -> Any:
    return next(one for one in client.get("/session").json()["photos"] if one["id"] == id)


def ask(client: TestClient, id: str, what: str, **record: Any) -> Any:
    return client.post(f"/session/photos/{id}/{what}", json=record)


def pixels(response: Any) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGB"), int)


HINTS = [{"x": 30, "y": 20, "color": "#8a3324", "radius": 12}]


def test_the_picture_shown_is_the_picture_saved(client: TestClient) -> None:
    id = add(client, encoded("PNG", (96, 64)), "a.png")
    settings = {"options": {"vividness": 0.2, "warmth": 1}, "hints": HINTS}
    shown = pixels(ask(client, id, "show", settings=settings))
    assert ask(client, id, "settings", **settings).status_code == 200
    saved = Image.open(io.BytesIO(client.get(f"/session/photos/{id}/result").content))
    assert np.abs(shown - np.asarray(saved.convert("RGB"), int)).mean() < 3  # a JPEG's own
    gray = pixels(ask(client, id, "show", settings=None))
    assert np.abs(gray[..., 0] - gray[..., 2]).max() <= 1


def test_the_settings_of_a_photograph_make_its_bytes_again(client: TestClient) -> None:
    id = add(client, encoded("PNG"), "a.png")
    assert ask(client, id, "settings", hints=HINTS, options={"warmth": -1}).status_code == 200
    settings = client.get(f"/session/photos/{id}/settings.json")
    assert "a.tintype.json" in settings.headers["content-disposition"]
    result = client.get(f"/session/photos/{id}/result")
    assert "a.colorized.png" in result.headers["content-disposition"]
    files = {"photo": ("a.png", encoded("PNG"))}
    again = client.post("/api/v1/colorize", files=files, data={"settings": settings.text})
    assert again.content == result.content


class Looked:
    """A colorizer whose network is counted."""

    def __init__(self, engine: Engine, model: str = "tint.small") -> None:
        self.count = 0
        network = engine._colorizer(model).predictor._network
        assert network is not None
        run = network.run

        def counted(tensors: Any) -> Any:
            self.count += 1
            return run(tensors)

        network.run = counted  # type: ignore[method-assign]


def test_sliders_do_not_run_the_network_again_and_hints_do(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(encoded("PNG"))
    engine, other = Engine(), Engine()
    looked = Looked(engine)

    def show(engine: Engine, **asked: Any) -> bytes:
        settings = {"model": "tint.small", "options": {}, "hints": [], **asked}
        where = {"folder": str(tmp_path), "name": "a.png", "settings": settings}
        engine({"do": "show", "out": "out.jpg", **where}, print)
        return (tmp_path / "out.jpg").read_bytes()

    where = {"folder": str(tmp_path), "name": "a.png", "pixels": 1 << 20}
    settings = {"model": "tint.small", "options": {}, "hints": []}
    engine({"do": "open", "settings": settings, **where}, lambda _: None)
    assert looked.count == 1
    pictures = [
        show(engine, options=options)
        for options in ({}, {"vividness": 0.1}, {"saturation": 2.0}, {"warmth": 1.0})
    ]
    assert len(set(pictures)) == 4
    assert looked.count == 1
    show(engine, hints=HINTS)
    assert looked.count == 2
    again = Looked(other)  # another worker goes on with what this one kept
    assert show(other, hints=HINTS, options={"vividness": 0.3})
    assert again.count == 0


def test_a_cached_file_that_another_worker_removed_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(encoded("PNG"))
    (tmp_path / "look-gone.npy").symlink_to("nowhere")
    settings = {"model": "tint.small", "options": {}, "hints": []}
    where = {"folder": str(tmp_path), "name": "a.png", "settings": settings}
    assert Engine()({"do": "open", "pixels": 1 << 20, **where}, lambda _: None)["width"] == 96


def test_a_tile_is_the_part_of_the_whole(tmp_path: Path) -> None:
    image = Image.radial_gradient("L").resize((2400, 1800))
    image.save(tmp_path / "photo", "PNG")
    engine = Engine()
    settings = {"model": "tint.small", "options": {}, "hints": []}
    where = {"folder": str(tmp_path), "name": "a.png", "settings": settings}
    facts = engine({"do": "open", "pixels": 1 << 30, **where}, lambda _: None)
    assert facts["preview"] == [1154, 866]
    assert facts["levels"] == 2
    part = {"do": "show", "out": "out.png", "level": 0, "box": [1000, 700, 512, 400]}
    engine({**part, **where}, print)
    tile = np.asarray(Image.open(tmp_path / "out.png"), int)
    whole = Colorizer("tint.small").colorize(image).rgb()[700:1100, 1000:1512].astype(int)
    assert tile.shape == whole.shape
    assert np.abs(tile - whole).mean() < 2
    for level, size in ((None, (866, 1154)), (1, (900, 1200))):
        assert read_level(tmp_path, level).shape == size


@pytest.mark.parametrize("shape", [(1, 1), (1, 3_000_000), (3_000_000, 1), (1000, 1000)])
def test_levels_of_any_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    count = write_levels(tmp_path, np.full(shape, 40_000, np.uint16))
    assert read_level(tmp_path, 0).shape == shape
    assert read_level(tmp_path, count - 1).size <= 4_000_000
    assert read_level(tmp_path, None).size <= 1_000_000
    assert max(read_level(tmp_path, None).shape) <= 8000
    assert (read_level(tmp_path, None) == 40_000 >> 8).all()


def test_suggestions_are_the_colorizers(client: TestClient) -> None:
    content = encoded("PNG")
    id = add(client, content, "a.png")
    expected = Colorizer("tint.small").suggest(content, 20, 30, 6, hints=[Hint(5, 5, "#8a3324")])
    hints = [{"x": 5, "y": 5, "color": "#8a3324"}]
    found = ask(client, id, "suggest", settings={"hints": hints}, x=20, y=30).json()["suggestions"]
    assert [one["color"] for one in found] == [one.color for one in expected]
    other = ask(client, id, "suggest", settings={"model": "plain.small"}, x=20, y=30).json()
    assert other["suggestions"]  # of a model that can say
    assert "outside" in ask(client, id, "suggest", x=2000, y=1).json()["detail"]


def test_others_are_the_samplers_and_one_is_chosen(client: TestClient) -> None:
    id = add(client, encoded("PNG"), "a.png")
    others = ask(client, id, "others").json()["others"]
    assert sorted(one["sample"] for one in others) == list(range(1, 9))
    assert [one["bits"] for one in others] == sorted(one["bits"] for one in others)
    pictures = {ask(client, id, "show", settings=one["settings"]).content for one in others}
    assert len(pictures) > 4
    chosen = others[2]["settings"]
    ask(client, id, "settings", **chosen)
    result = client.get(f"/session/photos/{id}/result").content
    options = {"sample": chosen["sample"], **chosen["options"]}
    colored = Colorizer("tint_sampler").colorize(encoded("PNG"), **options)
    np.testing.assert_array_equal(Photo.open(result).rgb(), colored.rgb())


def test_choices_are_taken_back_made_again_and_copied(client: TestClient) -> None:
    first, second = add(client, encoded()), add(client, encoded("PNG"), "b.png")
    ask(client, second, "settings", hints=HINTS)
    ask(client, first, "settings", options={"saturation": 0.5}, hints=HINTS)
    ask(client, first, "settings", options={"saturation": 0.4})
    assert photo(client, first)["settings"]["options"]["saturation"] == 0.4
    assert ask(client, first, "undo").json()["settings"]["hints"] == HINTS
    assert ask(client, first, "redo").json()["settings"]["hints"] == []
    assert ask(client, first, "redo").json()["redo"] == 0
    damaged = add(client, b"", "broken.jpg")
    assert ask(client, first, "copy").json() == {"copied": 1}
    copied = photo(client, second)["settings"]
    assert copied["options"]["saturation"] == 0.4
    assert copied["hints"] == HINTS
    assert client.get("/session").json()["colors"][0] == "#8a3324"
    assert photo(client, damaged)["undo"] == 0
    assert client.post("/session/undo-copy").json() == {"copied": 1}
    assert photo(client, second)["settings"]["options"]["saturation"] == 1
    assert client.post("/session/undo-copy").json() == {"copied": 0}


def test_what_was_chosen_since_is_not_taken_back_with_a_copy(client: TestClient) -> None:
    first, second = add(client, encoded()), add(client, encoded("PNG"), "b.png")
    ask(client, first, "settings", options={"saturation": 0.5})
    ask(client, first, "copy")
    ask(client, second, "settings", options={"saturation": 0.3})
    assert client.post("/session/undo-copy").json() == {"copied": 0}
    assert photo(client, second)["settings"]["options"]["saturation"] == 0.3


def test_the_number_of_a_sample_is_not_copied(client: TestClient) -> None:
    first, second = add(client, encoded()), add(client, encoded("PNG"), "b.png")
    ask(client, first, "settings", model="tint_sampler.small", sample=5)
    ask(client, first, "copy")
    copied = photo(client, second)["settings"]
    assert (copied["model"], copied["sample"]) == ("tint_sampler.small", 1)


def test_the_thumbnail_follows_the_choices(client: TestClient) -> None:
    id = add(client, encoded())
    place = f"/session/photos/{id}/thumbnail"
    before = client.get(place).content
    settings = ask(client, id, "settings", options={"saturation": 0}).json()["settings"]
    version = photo(client, id)["version"]
    ask(client, id, "show", settings=settings)
    assert client.get(place).content != before
    assert photo(client, id)["version"] > version


def test_a_removed_photograph_can_be_put_back(client: TestClient, studio: Studio) -> None:
    id, failed = add(client, encoded()), add(client, b"", "broken.jpg")
    ask(client, id, "settings", hints=HINTS)
    for one in (id, failed):
        assert client.delete(f"/session/photos/{one}").status_code == 204
    assert client.get("/session").json()["photos"] == []
    assert client.get(f"/session/photos/{id}/result").status_code == 404
    assert ask(client, id, "put-back").json()["settings"]["hints"] == HINTS
    assert client.get(f"/session/photos/{id}/result").status_code == 200
    folder = studio.session.folder(studio.session.picture(id))
    client.delete(f"/session/photos/{id}")
    studio.session.close()
    assert not folder.exists()
    assert ask(client, id, "put-back").status_code == 404


def test_the_same_photograph_is_taken_once(client: TestClient) -> None:
    add(client, encoded())
    again = client.post("/session/photos", params={"name": "a.jpg"}, content=encoded())
    assert (again.status_code, again.json()["detail"]) == (409, "a.jpg is in the session already")
    add(client, encoded("PNG"))  # another of that name
    assert len(client.get("/session").json()["photos"]) == 2


def test_what_is_missing_of_a_damaged_one_is_told(client: TestClient) -> None:
    whole = encoded(size=(400, 300))
    damage = photo(client, add(client, whole[: len(whole) // 2]))["facts"]["damage"]
    assert "are cut short" in damage[0]
    assert photo(client, add(client, whole, "whole.jpg"))["facts"]["damage"] == []


def test_an_archive_tells_how_far_it_is_and_what_it_lacks(client: TestClient) -> None:
    add(client, encoded())
    broken = add(client, encoded()[:50], "broken.jpg")
    assert not photo(client, broken)["again"]  # another try gives the same
    lines = [json.loads(line) for line in client.post("/session/archives").text.splitlines()]
    assert lines[:2] == [{"done": 0, "of": 2}, {"done": 1, "of": 2}]
    assert lines[2]["failed"][0].startswith("broken.jpg")
    made = client.get(f"/session/archives/{lines[2]['id']}")
    assert "tintype-2" in made.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        assert archive.namelist() == ["a.colorized.jpg", "a.tintype.json", "failed.txt"]
        assert archive.read("failed.txt").startswith(b"broken.jpg")
    assert client.get(f"/session/archives/{lines[2]['id']}").status_code == 404


def test_two_pages_may_save_all_at_once(client: TestClient) -> None:
    made = [json.loads(client.post("/session/archives").text)["id"] for _ in range(2)]
    assert [client.get(f"/session/archives/{id}").status_code for id in made] == [200, 200]


def test_a_result_that_nobody_waits_for_is_removed(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = add(client, encoded())

    async def gone(request: Any, work: Any, name: str) -> Any:
        raise WorkError("the client disconnected", "cancelled")

    monkeypatch.setattr("tintype.studio.pages.outcome", gone)
    folder = studio.session.folder(studio.session.picture(id))
    (folder / ".tintype-0123456789abcdef.tmp").touch()  # of a process that was ended
    assert client.get(f"/session/photos/{id}/result").status_code == 503
    until(lambda: not [*folder.glob("result-*"), *folder.glob("*.tmp")])


def test_what_ends_its_process_says_so_beside_its_name(client: TestClient) -> None:
    id = add(client, ENDS, "hostile.jpg")
    assert photo(client, id)["state"] == "failed"
    assert photo(client, id)["error"].startswith("hostile.jpg: the process that worked on it")
    assert photo(client, id)["again"]
    hanging = add(client, HANGS, "slow.jpg", wait=False)
    until(lambda: photo(client, hanging)["state"] == "working")
    assert ask(client, hanging, "cancel").status_code == 204
    until(lambda: photo(client, hanging)["state"] == "cancelled")
    assert ask(client, hanging, "show").status_code == 409
    assert add(client, encoded())


def test_answers_are_numbered_so_that_late_ones_are_known(client: TestClient) -> None:
    added = client.post("/session/photos", content=b"")
    id = added.json()["id"]
    until(lambda: photo(client, id)["state"] == "failed")
    assert photo(client, id)["revision"] > added.json()["revision"]


def test_the_session_takes_no_more_than_it_may(client: TestClient) -> None:
    for k in range(12):
        add(client, b"", f"{k}.jpg", wait=False)
    response = client.post("/session/photos", content=b"")
    assert response.status_code == 429
    assert "full with 12 photographs" in response.json()["detail"]


@pytest.mark.parametrize(
    ("what", "record"),
    [
        ("show", {"level": 1}),
        ("show", {"level": 0}),
        ("show", {"level": 0, "box": [0, 0, 9999, 1]}),
        ("show", {"level": 0, "box": [0, 0, 0, 1]}),
        ("show", {"level": 0, "box": "abcd"}),
        ("show", {"level": 0, "box": [96, 0, 9, 9]}),
        ("show", {"box": [0, 64, 9, 9]}),
        ("show", {"longest": -1}),
        ("show", {"settings": {"model": "../x"}}),
        ("show", {"settings": 3}),
        ("suggest", {"x": "1", "y": 2}),
        ("settings", {"options": {"seed": 1}}),
        ("others", {"settings": {"model": "plain"}}),
    ],
)
def test_what_makes_no_sense_is_refused(client: TestClient, what: str, record: Any) -> None:
    response = ask(client, add(client, encoded()), what, **record)
    assert response.status_code == 422, response.text
    assert response.json()["detail"]


def test_who_listens_is_told(client: TestClient) -> None:
    assert client.post("/session/photos/x/show", content=b"[]").status_code == 404
    id = add(client, encoded())
    response = client.post(f"/session/photos/{id}/settings", content=b"[1]")
    assert response.json()["detail"] == "the request body must be a JSON object"
    assert json.loads(client.get("/session").text)["default"] == "tint.small"
    assert client.get("/static/main.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/static/nothing.js").status_code == 404


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("../../a.jpg", "a.jpg"),
        ("", "photograph"),
        ("a\nb.jpg", "a\\nb.jpg"),
        ("é.jpg", "é.jpg"),
    ],
)
def test_names_are_shown_in_one_line(name: str, shown: str) -> None:
    assert shown_name(name) == shown
