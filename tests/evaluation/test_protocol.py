import numpy as np
import pytest

from tintype.evaluation.protocol import Protocol, to_uint8
from tintype.photo import Photo


def halves(height, width):
    """Red on the left, blue on the right."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 2, 0] = rgb[:, width // 2 :, 2] = 255
    return Photo.from_array(rgb)


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (Protocol(), "native"),
        (Protocol(256, crop=True), "256-crop"),
        (Protocol(256), "256-plain"),
    ],
)
def test_the_name_says_what_is_done(protocol, name):
    assert protocol.name == name
    assert "BT.601" in protocol.description()
    assert ("256x256" in protocol.description()) == (protocol.side == 256)


def test_a_crop_is_the_middle_and_a_plain_one_the_whole():
    photo = halves(20, 60)
    rgb = np.array(photo.rgb())
    rgb[:, :20], rgb[:, 40:] = (0, 255, 0), (0, 255, 0)  # what a crop leaves out
    photo = Photo.from_array(rgb)
    cropped = Protocol(20, crop=True).apply(photo).rgb()
    assert cropped.shape == (20, 20, 3)
    np.testing.assert_array_equal(cropped, rgb[:, 20:40])
    plain = Protocol(30).apply(photo).rgb()
    assert plain.shape == (30, 30, 3)
    assert plain[:, 0, 1].min() > 200


def test_a_photograph_of_its_own_size_is_left_alone():
    photo = halves(5, 8)
    assert Protocol().apply(photo) is photo


def test_sixteen_bits_are_rounded_to_eight():
    levels = np.uint16([0, 128, 129, 257, 65535])
    np.testing.assert_array_equal(to_uint8(levels), [0, 0, 1, 1, 255])
