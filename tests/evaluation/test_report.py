import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tintype.evaluation.benchmark import evaluate
from tintype.evaluation.report import ThumbnailStore, write_report
from tintype.evaluation.report.charts import histogram, similarities
from tintype.evaluation.table import Row

VOID = {"meta", "img", "input"}


class Page(HTMLParser):
    """What a browser would see: attributes, text, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.said, self.bold = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)
        if "strong" in self.open:
            self.bold.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(table, thumbnails, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, table, thumbnails, examples=2)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return Page(path.read_text("utf-8"))


def test_every_element_is_closed(page):
    assert page.open == []


def test_nothing_is_fetched_from_elsewhere(page):
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "data:image/").startswith("data:image/")
    text = "".join(page.said)
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttp", text)


def test_the_table_has_gray_first_and_every_measure(page, table):
    titles = [a["title"] for a in page.all("th") if "title" in a]
    assert len(titles) == len(table.reported)
    rows = [a for a in page.all("th") if a.get("scope") == "row"]
    assert len(rows) == len(table.rows) + 1  # and the truth
    said = "".join(page.said)
    order = [said.index(f"{name}") for name in ("the input", "true chroma, given", "tint@0")]
    assert order == sorted(order)


def test_the_best_of_the_models_is_marked_and_no_reference(page, table):
    first = [row["ab_rmse"] for row in table.rows[2:]]
    assert f"{min(first):.2f}" in page.bold
    assert f"{max(first):.2f}" not in page.bold
    assert f"{table.rows[1]['ab_rmse']:.2f}" not in page.bold
    cells = [a for a in page.all("td") if a.get("title")]
    assert all(a["title"].startswith("95 %: ") for a in cells)


def test_so_many_photographs_are_shown_and_the_best_and_worst(page, table):
    pictures = page.all("img")
    examples = 2 * (len(table.rows) - 1 + 1)  # no ceiling, but the truth
    cases = 3 * 2 * 3 * 2  # models, best and worst, photographs, result and truth
    assert len(pictures) == examples + cases
    assert all(a["src"].startswith("data:image/jpeg;base64,") and a["alt"] for a in pictures)


def test_histograms_and_charts_are_drawn(page):
    labels = [a["aria-label"] for a in page.all("svg")]
    assert sum(label.startswith("Histogram of a") for label in labels) == 3
    assert any("against" in label for label in labels)
    assert any("of every model" in label for label in labels)
    assert sum(label.startswith("Pixels by error") for label in labels) == 2
    assert not any("samples" in label for label in labels)  # no model here samples


def test_similarities_are_drawn():
    row = Row("m", {}, per_photo={"ms_ssim": np.array([0.3, 0.83, 1.0])})
    assert similarities(row).count("<rect") == 10


def test_names_are_escaped(photos, tmp_path):
    (tmp_path / "pictures").mkdir()
    evil = tmp_path / "<img src=x onerror=alert(1)>&.png"
    shutil.copy(photos[0], evil)
    thumbnails = ThumbnailStore(tmp_path / "pictures")
    table = evaluate([evil], ["tint"], threads=1, on_image=thumbnails.save)
    table.rows[-1].model = '"><script>bad</script>'
    thumbnails._model_ids[table.rows[-1].model] = thumbnails._model_ids["tint"]
    table.skipped["x"] = "<b>why</b>"
    write_report(tmp_path / "r.html", table, thumbnails)
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "<script>bad" not in text
    assert "<img src=x" not in text
    assert "<b>why" not in text
    assert Page(text).open == []


def test_a_report_of_no_model_is_a_page_too(photos, tmp_path):
    thumbnails = ThumbnailStore(tmp_path)
    table = evaluate(photos[:1], [], on_image=thumbnails.save)
    write_report(tmp_path / "r.html", table, thumbnails, examples=0)
    assert Page((tmp_path / "r.html").read_text("utf-8")).all("img") == []


def test_pictures_are_reduced_and_keep_their_chroma(tmp_path):
    rgb = np.zeros((600, 300, 3), np.uint8)
    rgb[:, ::2, 0] = 255
    thumbnails = ThumbnailStore(tmp_path)
    thumbnails.save(0, "name/with\\anything", rgb)
    (path,) = tmp_path.iterdir()
    with Image.open(path) as kept:
        assert kept.size == (128, 256)
        assert kept.layer[0][1:3] == (1, 1)  # no subsampling
    assert thumbnails.data_uri(0, "name/with\\anything").startswith("data:image/jpeg;base64,/9j/")


def test_the_filled_histogram_stands_on_its_floor():
    one = np.zeros(220)
    one[110] = 1
    svg = histogram(one, one, "a")
    (points,) = re.findall(r'class="area" points="([^"]+)"', svg)
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert (min(heights), max(heights)) == (8, 94)
