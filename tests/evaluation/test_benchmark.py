import json

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tintype.color.spaces import rgb_to_lab
from tintype.errors import DataError, UnknownModelError
from tintype.evaluation.benchmark import evaluate, record
from tintype.evaluation.metrics import colorfulness, psnr
from tintype.runtime.card import WEIGHTS_VARIABLE, find, verify


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "chelsea", "coffee"):
        Image.fromarray(getattr(data, name)()).reduce(4).save(folder / f"{name}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def table(photos):
    return evaluate(photos, ["tint", "tint@0", "tint@1"], threads=1)


def test_gray_comes_first_and_says_what_doing_nothing_scores(table, photos):
    gray = table.rows[0]
    assert (gray.model, gray.of_gray, gray.colorful, gray.seconds) == ("gray", 1.0, 0.0, 0.0)
    truths = [np.asarray(Image.open(path)) for path in photos]
    grays = [np.asarray(Image.open(path).convert("L"))[..., None] for path in photos]
    # Another rounding of the luma, at most one level.
    expected = np.mean([psnr(g.repeat(3, -1), t) for g, t in zip(grays, truths, strict=True)])
    assert gray.psnr == pytest.approx(expected, abs=0.1)
    assert table.true_colorful == pytest.approx(np.mean([colorfulness(t) for t in truths]))
    assert gray.difference == pytest.approx(table.true_colorful)


def test_models_follow_in_the_order_asked_for(table):
    assert [row.model for row in table.rows] == ["gray", "ceiling", "tint", "tint@0", "tint@1"]
    _, ceiling, default, safe, vivid = table.rows
    assert ceiling.of_gray < 0.2
    assert min(ceiling.hist_a, ceiling.hist_b) > 0.85
    assert safe.colorful < default.colorful < vivid.colorful
    assert 0 < safe.hist_a <= 1
    assert all(row.seconds > 0 for row in table.rows[2:])


def test_table_as_text_and_json(table):
    text = table.text()
    assert text.splitlines()[1].startswith("gray ")
    assert "3 photographs" in text
    record = json.loads(json.dumps(table.to_json()))
    assert record["rows"][0]["model"] == "gray"
    assert "Hasler" in record["protocol"]


def test_unreadable_photographs_are_named_and_the_others_measured(photos, tmp_path):
    broken, gray = tmp_path / "broken.png", tmp_path / "gray.png"
    broken.write_bytes(b"")
    Image.open(photos[0]).convert("L").save(gray)
    seen = []
    table = evaluate([broken, gray, photos[0]], [], on_photo=lambda *told: seen.append(told))
    assert table.photographs == 1
    assert list(table.skipped) == [str(broken), str(gray)]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(DataError, match="None of the photographs"):
        evaluate([broken, gray], [])


def test_wrong_model_names_are_said_before_anything_is_measured(photos):
    with pytest.raises(UnknownModelError, match="tint"):
        evaluate(photos, ["tnit"])
    for name in ("tint@much", "tint@5", "tint@nan", "tint@-1"):
        with pytest.raises(DataError, match="vividness"):
            evaluate(photos, [name])


def test_figures_are_recorded_on_the_card_with_gray_beside_them(table, tmp_path, monkeypatch):
    shipped = find("tint").path
    for path in (shipped, shipped.with_suffix(".onnx")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = shipped.read_bytes()
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    (card,) = record(table, "three photographs")
    assert card.path == tmp_path / shipped.name
    scores = find("tint").scores
    assert scores["set"] == "three photographs"
    assert [row["model"] for row in scores["rows"]] == [
        "gray",
        "ceiling",
        "tint",
        "tint@0",
        "tint@1",
    ]
    verify(card)  # the weights are untouched
    assert shipped.read_bytes() == before


def test_error_measures_by_hand(tmp_path):
    # Half neutral, half green: the gray row errs by the green's chroma on half of the pixels.
    rgb = np.full((4, 8, 3), 128, np.uint8)
    rgb[:, 4:] = (60, 200, 60)
    Image.fromarray(rgb).save(tmp_path / "half.png")
    table = evaluate([tmp_path / "half.png"], [])
    a, b = rgb_to_lab(np.float32([60, 200, 60]) / 255)[1:]
    gray = table.rows[0]
    assert gray.ab_rmse == pytest.approx(np.sqrt((a**2 + b**2) / 2 / 2), rel=0.01)
    assert gray.hist_a == pytest.approx(0.5)
    assert gray.hist_b == pytest.approx(0.5)
    # Both colours are alike frequent here, so rarity weighs them alike.
    assert gray.rebalanced == pytest.approx(gray.ab_rmse, rel=0.05)
    # The green's lightness is not that of its luma: even true chroma misses the colour a little.
    assert 0 < table.rows[1].ab_rmse < 0.1 * gray.ab_rmse


def test_a_rare_colour_weighs_more_when_rebalanced(tmp_path):
    rgb = np.full((10, 10, 3), 128, np.uint8)
    rgb[0] = (60, 200, 60)
    Image.fromarray(rgb).save(tmp_path / "rare.png")
    gray = evaluate([tmp_path / "rare.png"], []).rows[0]
    assert gray.rebalanced > 1.5 * gray.ab_rmse
