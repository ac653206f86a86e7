import numpy as np
import pytest

from jmeta.datasets import DataError
from jmeta.datasets.convert import Look, fit, look, match, resize


def drawings(paper, ink, shape=(8, 8, 1)):
    """Two classes of three drawings: a bar in the middle."""
    images = np.full((2, 3, *shape), paper, np.uint8)
    images[:, :, 3:5, 2:6] = ink
    return images


def test_the_border_is_the_median_of_all_edges():
    images = np.zeros((1, 2, 4, 4, 1), np.uint8)
    images[0, 0, 0] = 100  # one edge of four
    images[:, :, 1:3, 1:3] = 255
    assert look(images) == Look((4, 4, 1), 0.0)
    images[0, 1] = 200
    assert look(images).border == np.median([100] * 4 + [100, 0, 0, 0] * 2 + [0] * 4 + [200] * 16)
    assert look(images, np.array([1])).border == 0.0, "examples that aren't real don't count"


def test_brightness_of_colours_is_their_luminance():
    images = np.zeros((1, 1, 4, 4, 3), np.uint8)
    images[..., 1] = 100
    assert look(images).border == pytest.approx(58.7)


def test_paper_decides_what_is_inverted():
    dark, bright, photograph = drawings(0, 255), drawings(255, 0), drawings(120, 30)
    for images in (dark, bright, photograph):
        for like in (dark, bright, photograph):
            found, done = match(images, look(like))
            apart = {images[0, 0, 0, 0, 0], like[0, 0, 0, 0, 0]} == {0, 255}
            np.testing.assert_array_equal(found, 255 - images if apart else images)
            start = "inverted" if apart else "not inverted"
            assert done == (f"{start} (border {images[0, 0, 0, 0, 0]} of 255, in training {like[0, 0, 0, 0, 0]})",)


def test_an_unknown_look_inverts_nothing():
    found, done = match(drawings(255, 0), Look((8, 8, 1), None))
    np.testing.assert_array_equal(found, drawings(255, 0))
    assert done == ("not inverted (border 255 of 255, in training unknown)",)


def test_examples_that_are_not_real_stay_blank():
    images = drawings(255, 0)
    images[1, 2] = 0
    found, done = match(images, Look((8, 8, 1), 0.0), np.array([3, 2]))
    assert done[0].startswith("inverted")
    np.testing.assert_array_equal(found[0], drawings(0, 255)[0])
    assert not found[1, 2].any()


def test_size_and_colour_are_matched():
    colour = np.zeros((2, 3, 20, 10, 3), np.uint8)
    colour[..., 0] = 255
    grey, done = match(colour, Look((8, 8, 1), 0.0))
    assert grey.shape == (2, 3, 8, 8, 1) and grey.dtype == np.uint8 and np.all(grey == 76)
    assert done == (
        "made grey by luminance",
        "resized from 20 x 10 to 8 x 8",
        "not inverted (border 76 of 255, in training 0)",
    )
    back, done = match(grey, Look((8, 8, 3), 76.0))
    assert back.shape == (2, 3, 8, 8, 3) and np.all(back == 76)
    assert done[0] == "given three equal channels" and len(done) == 2
    assert resize(grey, (8, 8, 1)) is grey


def test_resizing_keeps_the_drawing():
    small = resize(drawings(0, 255, (16, 16, 1)), (8, 8, 1))[0, 0, :, :, 0]
    assert np.unravel_index(small.argmax(), small.shape) in [(1, 1), (2, 1), (1, 2), (2, 2)] and small[6:].max() == 0


def test_other_numbers_of_channels_are_refused():
    assert fit(np.zeros((4, 4, 2), np.uint8), (4, 4, 2)).shape == (4, 4, 2)
    with pytest.raises(DataError, match="pictures of 2 channels can't be shown to a network that takes 1"):
        match(np.zeros((1, 1, 4, 4, 2), np.uint8), Look((4, 4, 1), 0.0))
