import numpy as np
import pytest

from tintype.color.tones import find_picture, stretch_tones

HEIGHT, WIDTH, BORDER = 160, 224, 11


def scene() -> np.ndarray:
    """A picture of the whole range: a sky, hills with texture, dark trees."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
    hills = 0.45 + 0.2 * np.sin(9 * x) * np.cos(7 * y) + 0.1 * random.standard_normal(y.shape)
    gray = np.where(y < 0.3 + 0.08 * np.sin(5 * x), 0.9 + 0.1 * y, hills)
    gray[100:140, 30:60] = 0.02 * random.random((40, 30))
    return np.clip(gray, 0, 1).astype(np.float32)


def on_mount(gray: np.ndarray, kind: str) -> np.ndarray:
    """The picture on white paper, the black bed of a scanner, or a mount with a gradient."""
    random = np.random.default_rng(4)
    shape = (HEIGHT + 2 * BORDER, WIDTH + 2 * BORDER)
    mount = np.full(shape, {"white": 0.98, "black": 0.02}.get(kind, 0.75))
    if kind in ("uneven", "caption"):
        mount += np.linspace(0, 0.25, shape[1]) + random.normal(0, 0.01, shape)
    if kind == "caption":
        mount[-8:-4, 60:130:4] = 0.1
    if kind == "bed":  # a white mount on a black bed
        mount[:] = 0.02
        mount[5:-5, 5:-5] = 0.95
    mount[BORDER:-BORDER, BORDER:-BORDER] = gray
    return np.clip(mount, 0, 1).astype(np.float32)


@pytest.mark.parametrize("mount", ["white", "black", "uneven", "caption", "bed"])
@pytest.mark.parametrize(("low", "high"), [(0.3, 0.8), (0.45, 0.6), (0.1, 0.25)])
def test_a_faded_picture_is_stretched_by_its_own_tones(mount, low, high):
    faded = on_mount(low + (high - low) * scene(), mount)
    rows, columns = find_picture(faded)
    assert 0 <= rows.start - BORDER <= 6
    assert 0 <= columns.start - BORDER <= 6
    assert 0 <= HEIGHT + BORDER - rows.stop <= 6
    assert 0 <= WIDTH + BORDER - columns.stop <= 6
    inside = stretch_tones(faded)[BORDER:-BORDER, BORDER:-BORDER]
    assert np.abs(inside - scene()).mean() < 0.04


def test_what_has_its_whole_range_is_left_alone():
    whole = scene()
    assert stretch_tones(whole) is whole


def test_half_of_the_range_gets_less_of_it_back_where_no_mount_says_that_it_is_a_print():
    """Fog, night and things of one tone have no more either."""
    half = (0.2 + 0.5 * scene()).astype(np.float32)
    mounted = stretch_tones(on_mount(half, "white"))[BORDER:-BORDER, BORDER:-BORDER]
    ranges = [np.ptp(np.percentile(made, [1, 99])) for made in (half, stretch_tones(half), mounted)]
    assert ranges[0] + 0.1 < ranges[1] < ranges[2] - 0.1


def test_a_sky_is_no_mount():
    gray = scene()
    gray[:40] = 0.98
    assert find_picture(gray) == (slice(0, HEIGHT), slice(0, WIDTH))


@pytest.mark.parametrize("gray", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (32, 5120)])
def test_nothing_is_made_of_a_plain_surface(gray, shape):
    plain = np.full(shape, gray, np.float32)
    random = np.random.default_rng(0)
    grain = np.clip(plain + 0.002 * random.standard_normal(shape), 0, 1).astype(np.float32)
    assert np.isfinite(stretch_tones(plain)).all()
    assert stretch_tones(grain).std() < 0.03


@pytest.mark.slow
def test_the_result_changes_continuously_with_the_range():
    before = None
    for kept in np.linspace(1, 0.02, 200):
        now = stretch_tones((0.4 * (1 - kept) + kept * scene()).astype(np.float32))
        if before is not None:
            assert np.abs(now - before).max() < 0.06
        before = now


@pytest.mark.parametrize("paper", [0.98, 0.02])
def test_a_torn_corner_and_a_crease_are_left_out(paper):
    torn = (0.45 + 0.15 * scene()).astype(np.float32)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    missing = (x + y < 50) | (abs(y - 90 - x // 8) < 2)
    torn[missing] = paper
    assert np.abs(stretch_tones(torn) - scene())[~missing].mean() < 0.04


def test_a_lamp_at_night_is_no_tear():
    night = 0.25 * scene()
    night[60:76, 100:130] = 1
    assert stretch_tones(night) is night
