"""Nothing that a page, a picture or their order gives away tells which one is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from study.material import small_study
from study.visitor import Visitor, session_of

from tintype.study.app import create_app
from tintype.study.manifest import FALSE_COLORS, Study
from tintype.study.storage import AnswerStore


def test_pages_say_nothing_of_what_is_true(tmp_path: Path) -> None:
    study = small_study(tmp_path, systems=("machine-a", "machine-b"))
    store = AnswerStore(study)
    visitor = Visitor(create_app(study, store))
    secrets = [*study.systems, FALSE_COLORS, "catch", "true_side", "seed"]
    secrets += [photo.name for photo in study.photos]
    secrets += [name.removesuffix(".png") for name in study.checksums]
    state = visitor.begin()
    while not state["done"]:
        response = visitor.answer(state)
        said = response.text + str(response.headers)
        if not state["practice"]:
            said += visitor.get("/trial").text
            assert [word for word in secrets if word in said] == []
        state = response.json()["next"]
    store.close()


def test_pages_of_all_pairs_that_count_are_alike(visitor: Visitor) -> None:
    """Catch trials too: but for numbers and the names of pictures there is no difference."""
    state, pages = visitor.begin(), set()
    while not state["done"]:
        if not state["practice"]:
            page = visitor.get("/trial").text.replace(state["form_key"], "KEY")
            page = re.sub(r"<p>Practice: .*?</p>", "", page)  # of the pair before the first
            page = re.sub(r"picture/[0-9a-f]{32}", "picture/TOKEN", page)
            pages.add(re.sub(r"\d+", "N", page).replace("\n", ""))
        state = visitor.answer(state).json()["next"]
    assert len(pages) == 1


def test_answers_to_both_pictures_of_a_pair_are_alike(
    visitor: Visitor, study: Study, store: AnswerStore
) -> None:
    state = visitor.begin()
    headers, bodies = set(), []
    while not state["done"]:
        pair = store.next_pair(session_of(store, visitor))
        assert pair is not None
        left, right = (visitor.get(f"/{state[side]}") for side in ("left", "right"))
        true, coloured = (
            path.read_bytes() for path in study.pair_files(pair.trial.photo, pair.trial.system)
        )
        if pair.trial.true_side == "right":
            true, coloured = coloured, true
        assert (left.content, right.content) == (true, coloured)
        headers |= {tuple(sorted(response.headers.items())) for response in (left, right)}
        bodies += [left.content, right.content]
        state = visitor.answer(state).json()["next"]
    assert len(headers) == 1
    (only,) = headers
    names = {name for name, _ in only}
    assert not names & {"etag", "last-modified", "content-disposition", "server", "date"}
    assert dict(only)["cache-control"] == "no-store"
    assert len({len(body) for body in bodies}) == 1


def test_both_pictures_are_read_whichever_is_asked_for(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that many raters were shown would come from memory, and the other from disk."""
    state = visitor.begin()
    read: list[str] = []
    plain = Path.read_bytes

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    visitor.get(f"/{state['left']}")
    visitor.get(f"/{state['right']}")
    assert len(read) == 4
    assert read[:2] == read[2:]


@pytest.mark.slow
def test_names_of_pictures_are_drawn_anew_for_every_rater_and_pair(visitors: Any) -> None:
    names, firsts = [], []
    for _ in range(12):
        visitor = next(visitors)
        state = visitor.begin()
        while not state["done"]:
            names += [state["left"], state["right"]]
            firsts.append(state["left"] < state["right"])
            state = visitor.answer(state).json()["next"]
    assert len(set(names)) == len(names) == 240


@pytest.mark.slow
def test_names_and_places_do_not_tell_the_true_side(tmp_path: Path) -> None:
    """Whoever guesses by any of these is right as often as a coin, to within chance of 1e-6."""
    study = small_study(tmp_path)
    store = AnswerStore(study, source="simulated")
    right: dict[str, list[bool]] = {"order of names": [], "last digit": [], "position": []}
    for _ in range(120):
        _, session = store.enroll()
        pair = store.present_next(session)
        while pair is not None:
            left_true = pair.trial.true_side == "left"
            right["order of names"].append((pair.left_token < pair.right_token) == left_true)
            right["last digit"].append((int(pair.left_token[-1], 16) % 2 == 0) == left_true)
            right["position"].append((pair.position % 2 == 0) == left_true)
            pair = store.record_answer(session, pair.position, "left")
    store.close()
    for guess, hits in right.items():
        deviation = abs(sum(hits) - len(hits) / 2) / (len(hits) ** 0.5 / 2)
        assert deviation < 4.9, guess


def test_raters_see_the_pictures_of_their_own_present_pair_alone(visitors: Any) -> None:
    one, two, stranger = next(visitors), next(visitors), next(visitors)
    state, other = one.begin(), two.begin()
    assert one.get(f"/{state['left']}").status_code == 200
    assert one.get(f"/{other['left']}").status_code == 404
    assert stranger.get(f"/{state['left']}").status_code == 404
    one.answer(state)
    assert one.get(f"/{state['left']}").status_code == 404
    assert one.get("/picture/nonsense").status_code == 404


def test_raters_cannot_answer_for_others(visitors: Any, store: AnswerStore) -> None:
    one, two = next(visitors), next(visitors)
    state, other = one.begin(), two.begin()
    assert one.answer(other).status_code == 403
    assert one.answer(state, form_key="0" * 32).status_code == 403
    assert next(visitors).answer(state).status_code == 403
    assert all(rater.answers == () for rater in store.raters())
