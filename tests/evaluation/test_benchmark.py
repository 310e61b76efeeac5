import json
import os
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tintype.color.spaces import rgb_to_lab
from tintype.errors import DataError, UnknownModelError
from tintype.evaluation.benchmark import all_models, evaluate
from tintype.evaluation.memory import peak_memory_mb
from tintype.evaluation.metric_specs import HEADLINE_METRICS, METRICS
from tintype.evaluation.metrics import colorfulness, psnr
from tintype.evaluation.protocol import Protocol
from tintype.evaluation.table import Row, write_scores_to_cards
from tintype.runtime.options import Options
from tintype.runtime.registry import WEIGHTS_VARIABLE, find_model
from tintype.runtime.session import verify


def test_gray_comes_first_and_says_what_doing_nothing_scores(table, photos):
    gray = table.rows[0]
    assert (gray.model, gray["rmse_vs_gray"], gray["colorful"]) == ("gray", 1.0, 0.0)
    assert "seconds" not in gray.scores
    truths = [np.asarray(Image.open(path)) for path in photos]
    grays = [np.asarray(Image.open(path).convert("L"))[..., None] for path in photos]
    # Another rounding of the luma, at most one level.
    expected = np.mean([psnr(g.repeat(3, -1), t) for g, t in zip(grays, truths, strict=True)])
    assert gray["psnr"] == pytest.approx(expected, abs=0.1)
    assert table.truth["colorful"] == pytest.approx(np.mean([colorfulness(t) for t in truths]))
    assert gray["delta_cf"] == pytest.approx(table.truth["colorful"])


def test_models_follow_in_the_order_asked_for(table):
    assert [row.model for row in table.rows] == ["gray", "ceiling", "tint", "tint@0", "tint@1"]
    _, ceiling, default, safe, vivid = table.rows
    assert ceiling["rmse_vs_gray"] < 0.2
    assert min(ceiling["hist_a"], ceiling["hist_b"]) > 0.85
    assert safe["colorful"] < default["colorful"] < vivid["colorful"]
    assert 0 < safe["hist_a"] <= 1
    assert all(row["seconds"] > 0 for row in table.rows[2:])


def test_every_figure_lies_in_its_interval_or_near_it(table):
    for row in table.rows:
        assert set(row.intervals) == set(row.scores) - {"fid"}
        for name, (low, high) in row.intervals.items():
            assert low <= high
            if not name.startswith(("hist", "delta_cf_of_means")):  # biased under resampling
                assert low - 1e-9 <= row[name] <= high + 1e-9, name
    assert table.rows[0].intervals["rmse_vs_gray"] == (1, 1)


def test_networks_measure_labels_distances_and_features(table, photos):
    gray, ceiling, *models = table.rows
    assert table.truth["label_agreement"] == 1
    assert gray["label_agreement"] == 0  # no gray picture is redder than it is blue
    assert ceiling["label_agreement"] == 1
    assert ceiling["lpips"] < min(row["lpips"] for row in models)
    assert 0 <= ceiling["fid"] < gray["fid"]
    assert "rank-deficient" in table.notes["fid"]
    assert "native" in table.notes["fid"]
    assert "the same 3 photographs" in table.notes["fid"]


def test_table_as_text_and_json(table):
    text = table.to_text()
    assert text.splitlines()[1].startswith("gray ")
    assert "3 photographs, native" in text
    assert max(map(len, text.splitlines()[:6])) <= 110
    assert len(table.to_text(max_width=60).splitlines()[0]) <= 60
    assert "edge_rmse" in text.splitlines()[-1]  # what did not fit is named
    record = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert record["rows"][0]["model"] == "gray"
    assert record["protocol"]["name"] == "native"
    assert set(record["metrics"]) == set(table.reported) <= set(METRICS)
    assert len(record["per_photo"]["tint"]["ab_rmse"]) == len(record["photos"]) == 3
    low, high = record["rows"][2]["intervals"]["ab_rmse"]
    assert low < record["rows"][2]["ab_rmse"] < high


def test_measures_of_photographs_make_up_those_of_the_set(table):
    row = table.rows[2]
    assert row["psnr"] == pytest.approx(row.per_photo["psnr"].mean())
    assert row["ab_rmse"] == pytest.approx(np.sqrt(np.square(row.per_photo["ab_rmse"]).mean()))


def test_all_sizes_are_one_where_the_protocol_says_so(photos):
    sizes = {}
    evaluate(
        *(photos, []),
        protocol=Protocol(48, crop=True),
        on_image=lambda number, name, rgb: sizes.setdefault(name, set()).add(rgb.shape),
    )
    assert sizes == {name: {(48, 48, 3)} for name in ("truth", "gray", "ceiling")}


class Dice:
    """A model that samples: every sample is a tint of its own."""

    def __init__(self, model, threads=None):
        self.card = SimpleNamespace(kind="sampler" if model == "dice" else "chroma")

    def options(self, **options):
        return Options(**options)

    def colorize(self, photo, options):
        return next(self.sample(photo, 1, options)).photo

    def sample(self, photo, count, options):
        for number in range(count):
            rgb = np.repeat(photo.gray[..., None], 3, -1)
            rgb[..., number % 3] //= 2
            yield SimpleNamespace(photo=photo.with_rgb(rgb), number=number + 1)


def test_diversity_is_measured_of_models_that_sample(photos, monkeypatch):
    monkeypatch.setattr("tintype.runtime.named.Colorizer", Dice)
    *_, sampler, other = evaluate(photos[:2], ["dice", "one"], protocol=Protocol(192)).rows
    assert 0 < sampler["ms_ssim"] < 1
    assert sampler["ab_spread"] > 10
    assert "ms_ssim" not in other.scores
    assert sampler.similarities.sum() == pytest.approx(1)
    assert (sampler.similarities.size, other.similarities.size) == (10, 0)
    assert sampler["ab_rmse"] == other["ab_rmse"]  # scores are of the first sample
    small = evaluate(photos[:1], ["dice"], protocol=Protocol(64)).rows[2]
    assert "ms_ssim" not in small.scores  # too small for its five scales
    assert "ab_spread" in small.scores
    assert "ab_spread" not in evaluate(photos[:1], ["dice"], samples=1).rows[2].scores


def test_what_a_model_loads_at_first_use_is_in_no_photographs_seconds(photos, monkeypatch):
    class Lazy(Dice):
        ready = False

        def colorize(self, photo, options):
            if not self.ready:
                time.sleep(1)
            self.ready = True
            return super().colorize(photo, options)

    monkeypatch.setattr("tintype.runtime.named.Colorizer", Lazy)
    assert evaluate(photos[:1], ["one"], protocol=Protocol(64)).rows[2]["seconds"] < 0.9


def test_all_models_is_by_name():
    assert "tint.small" in all_models()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells")
def test_memory_is_that_of_a_process_that_only_colours(photos):
    table = evaluate(photos[:1], ["tint"], threads=1, memory=True)
    peak = table.rows[2]["peak_mb"]
    # More than Python with numpy alone needs, less than this process with torch and oracles.
    assert 40 < peak < 1000
    assert "process" in table.notes["peak_mb"]
    assert peak_memory_mb("tint", [photos[0] / "none"], Options(), Protocol(), 1) is None


def test_unreadable_photographs_are_named_and_the_others_measured(photos, tmp_path):
    broken, gray = tmp_path / "broken.png", tmp_path / "gray.png"
    broken.write_bytes(b"")
    Image.open(photos[0]).convert("L").save(gray)
    seen = []
    table = evaluate([broken, gray, photos[0]], [], on_photo=lambda *told: seen.append(told))
    assert table.photos == [str(photos[0])]
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


def test_two_models_of_one_name_get_figures_of_their_own(table, tmp_path):
    found, paths = find_model("tint"), []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in (found.path.name, *found.files):
            (tmp_path / folder / name).write_bytes((found.path.parent / name).read_bytes())
        paths.append(tmp_path / folder / found.path.name)
    rows = [*table.rows[:2], *(replace(table.rows[2], model=str(path)) for path in paths)]
    cards = write_scores_to_cards(replace(table, rows=rows), "three photographs")
    assert [card.path for card in cards] == paths
    assert all(len(card.scores["rows"]) == 3 for card in cards)


def test_figures_are_recorded_on_the_card_with_gray_beside_them(table, tmp_path, monkeypatch):
    shipped = find_model("tint").path
    for name in (shipped.name, *find_model("tint").files):
        (tmp_path / name).write_bytes((shipped.parent / name).read_bytes())
    before = shipped.read_bytes()
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    (card,) = write_scores_to_cards(table, "three photographs")
    assert card.path == tmp_path / shipped.name
    scores = find_model("tint").scores
    assert scores["dataset"] == "three photographs"
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
    gray, ceiling = evaluate([tmp_path / "half.png"], []).rows
    a, b = rgb_to_lab(np.float32([60, 200, 60]) / 255)[1:]
    assert gray["ab_rmse"] == pytest.approx(np.sqrt((a**2 + b**2) / 2 / 2), rel=0.01)
    assert gray["hist_a"] == pytest.approx(0.5)
    assert gray["hist_b"] == pytest.approx(0.5)
    # Both colours are alike frequent here, so rarity weighs them alike.
    assert gray["rebalanced_rmse"] == pytest.approx(gray["ab_rmse"], rel=0.05)
    assert gray["auc"] == pytest.approx(100 * (1 - np.hypot(a, b) / 150 / 2), abs=0.1)
    assert gray["auc_reb"] == pytest.approx(gray["auc"])
    # Of the five columns around the edge, three are green.
    assert gray["edge_rmse"] == pytest.approx(gray["ab_rmse"] * np.sqrt(3 / 5 * 2), rel=0.01)
    # The green's lightness is not that of its luma: even true chroma misses the colour a little.
    assert 0 < ceiling["ab_rmse"] < 0.1 * gray["ab_rmse"]
    assert 0 < ceiling["de2000"] < gray["de2000"]


def test_the_area_under_the_error_curves_is_the_auc(table):
    for row in table.rows:
        assert (np.diff(row.error_curves) >= 0).all()
        areas = (row.error_curves[:, 1:] + row.error_curves[:, :-1]).mean(1) / 2
        assert 100 * areas == pytest.approx([row["auc"], row["auc_reb"]], abs=0.3)
    assert table.to_json()["error_curves"]["gray"][0][-1] == 1


def test_similarities_are_shares_of_photographs():
    row = Row("m", {}, per_photo={"ms_ssim": np.array([0.3, 0.815, 0.83, 1.0, np.nan])})
    assert row.similarities.tolist() == [0.5, 0.25, *[0] * 7, 0.25]


def test_a_rare_colour_weighs_more_when_rebalanced(tmp_path):
    rgb = np.full((10, 10, 3), 128, np.uint8)
    rgb[0] = (60, 200, 60)
    Image.fromarray(rgb).save(tmp_path / "rare.png")
    gray = evaluate([tmp_path / "rare.png"], []).rows[0]
    assert gray["rebalanced_rmse"] > 1.5 * gray["ab_rmse"]
    a, b = rgb_to_lab(np.float32([60, 200, 60]) / 255)[1:]
    # Gray and green count alike: half of the pixels are right, half are off by the chroma.
    assert gray["auc_reb"] == pytest.approx(100 * (1 - np.hypot(a, b) / 150 / 2), abs=0.1)


def test_delta_cf_per_photograph_and_of_means(tmp_path):
    # One photograph without, one with much colour: a mean model has another delta_cf on each.
    for name, blue in (("dull", 120), ("bright", 20)):
        rgb = np.full((8, 8, 3), 128, np.uint8)
        rgb[..., 2] = blue
        Image.fromarray(rgb).save(tmp_path / f"{name}.png")
    gray = evaluate(sorted(tmp_path.iterdir()), []).rows[0]
    assert gray["delta_cf_of_means"] == pytest.approx(
        gray["delta_cf"]
    )  # gray is below on every photograph
    assert gray["delta_cf_of_means"] == pytest.approx(0.3 * (8 + 108) / 2)
    assert gray["delta_cf_of_means_abs"] == pytest.approx(gray["delta_cf_of_means"])


def test_what_goes_on_cards_is_brief(table):
    assert set(HEADLINE_METRICS) <= set(METRICS)
    assert len(HEADLINE_METRICS) < len(METRICS)
