"""The one reader of pictures: what is in a file, whether ink is dark, and how pictures are made to look like others."""

import numpy as np
import pytest
from PIL import Image

from jmeta.datasets import DataError, load, make_dataset
from jmeta.datasets.look import Look, ink_of, look
from jmeta.datasets.pictures import as_learned, fit, match, open_picture, resize, resized
from jmeta.runs.few_shot.given import as_trained

INK = np.zeros((20, 20), bool)
INK[6:9, 4:16] = INK[6:15, 10:12] = True


def shaded(strength):
    """Ink 0 to 255, softer at its right end, and a dot at another place in each picture."""
    found = (INK * np.linspace(255, strength, 20)[None]).astype(np.uint8)
    found[17, strength // 10] = 255
    return found


def drawn(paper, ink=0):
    """`strength -> L` picture of ink on paper."""
    return lambda s: Image.fromarray((paper + shaded(s) / 255 * (ink - paper)).round().astype(np.uint8))


def clear(mode, ink=0):
    """`strength -> picture` of ink on transparent paper, whose hidden color is that of the ink."""

    def draw(strength):
        flat = Image.fromarray(np.full((20, 20), ink, np.uint8)).convert(mode.removesuffix("A"))
        flat.putalpha(Image.fromarray(shaded(strength)))
        return flat

    return draw


def palette(strength):
    picture = drawn(255)(strength).convert("P")
    picture.putpalette([v for k in range(256) for v in (k, k, k)])
    return picture


def clear_palette(strength):
    picture = palette(strength)
    picture.info["transparency"] = 255
    return picture


def bar(pixels):
    return Image.fromarray(np.asarray(pixels))


KINDS = {
    "black on white": (drawn(255), 1),
    "black on gray 150": (drawn(150), 1),
    "white on black": (drawn(0, 255), 1),
    "black on transparent, LA": (clear("LA"), 1),
    "white on transparent, LA": (clear("LA", 255), 1),
    "black on transparent, RGBA": (clear("RGBA"), 3),
    "white on transparent, RGBA": (clear("RGBA", 255), 3),
    "RGBA without a hole": (lambda s: drawn(255)(s).convert("RGBA"), 3),
    "RGB": (lambda s: drawn(255)(s).convert("RGB"), 3),
    "palette": (palette, 3),
    "transparent palette": (clear_palette, 3),
    "1 bit": (lambda s: drawn(255)(s).point(lambda v: 255 * (v > 99)).convert("1"), 1),
    "16 bit": (lambda s: bar(np.asarray(drawn(255)(s)).astype(np.uint16) * 257), 1),
    "16 bit on gray": (lambda s: bar(np.asarray(drawn(150)(s)).astype(np.uint16) * 257), 1),
    "CMYK": (lambda s: drawn(255)(s).convert("RGB").convert("CMYK"), 3),
}


def put(folder, draw, sizes=((20, 20),)):
    """Three classes of four pictures, in turn of these sizes."""
    for k in range(3):
        place = folder / f"class{k}"
        place.mkdir(parents=True)
        for i in range(4):
            picture = draw(40 + 50 * k + 10 * i)
            size = sizes[(4 * k + i) % len(sizes)]
            picture = picture if size == (20, 20) else picture.resize(size, Image.Resampling.NEAREST)
            picture.save(place / f"{i}.{'tif' if picture.mode == 'CMYK' else 'png'}")
    return load(str(folder))


def assert_alike(folder, data):
    """`predict` sees the arrays of training, of all pictures together and of each alone."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    pixels = data.images.reshape(-1, *data.look.shape)
    np.testing.assert_array_equal(as_trained(data.look, paths), pixels)
    for path, own in zip(paths[::5], pixels[::5], strict=True):
        np.testing.assert_array_equal(as_trained(data.look, [path])[0], own)


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_predict_see_the_same_arrays(kind, tmp_path):
    """Fails where one drops transparency, clips 16 bits, or decides by the border and the other by all pixels."""
    draw, channels = KINDS[kind]
    data = put(tmp_path / "data", draw)
    assert data.look.shape == (20, 20, channels)
    assert_alike(tmp_path / "data", data)
    first = data.images[0, 0].astype(int)
    ink, paper = first[7, 5].mean(), first[0, 0].mean()
    assert abs(ink - paper) > 100, "ink is seen"
    assert (ink > paper) == (data.look.ink == "light") and (channels == 3 or data.look.ink == "light")
    assert data.look.files == ("light" if "white on" in kind and kind[:5] != "black" else "dark")


@pytest.mark.parametrize("draw", [drawn(255), drawn(150), clear("RGBA"), clear("LA", 255)])
def test_mixed_sizes_are_of_one_size_in_training_and_predict(draw, tmp_path):
    data = put(tmp_path / "data", draw, ((20, 20), (31, 20), (20, 44)))
    assert data.look.size == (84, 84)
    assert_alike(tmp_path / "data", data)
    small = load(str(tmp_path / "data"), size=28)
    assert small.look.size == (28, 28) and small.checksum != data.checksum
    assert_alike(tmp_path / "data", small)


def test_no_picture_is_decided_alone(tmp_path):
    """One dark among light ones stays as dark as it is among them; fails where each border decides."""
    data = put(tmp_path / "data", drawn(255))
    drawn(0, 255)(90).save(tmp_path / "data" / "class1" / "9.png")
    data = load(str(tmp_path / "data"))
    assert data.look.files == "dark" and data.images[1, 4, 0, 0] == 255 and data.images[1, 3, 0, 0] == 0
    odd = tmp_path / "data" / "class1" / "9.png"
    np.testing.assert_array_equal(as_trained(data.look, [odd])[0], data.images[1, 4])
    np.testing.assert_array_equal(as_trained(data.look, [odd], "no")[0], 255 - data.images[1, 4])


def test_of_other_data_the_pictures_decide_together(tmp_path):
    put(tmp_path / "data", drawn(255))
    paths = sorted((tmp_path / "data").rglob("*.png"))
    arrays = Look((20, 20), 1, "light")
    assert as_trained(arrays, paths)[0, 0, 0] == 0 and as_trained(arrays._replace(ink="dark"), paths)[0, 0, 0] == 255
    assert as_trained(arrays._replace(ink="none"), paths)[0, 0, 0] == 255
    assert as_trained(arrays._replace(ink="none"), paths, "yes")[0, 0, 0] == 0


def test_exif_turns_pictures(tmp_path):
    """Fails where pixels are taken as they are stored."""
    entry = Image.Exif()
    upright = drawn(0, 255)(90)
    turns = {2: 0, 3: 180, 6: 90, 8: -90}  # how the viewer's turn is undone
    for k, (orientation, turn) in enumerate(turns.items()):
        entry[0x0112] = orientation
        stored = upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if orientation == 2 else upright.rotate(turn)
        (tmp_path / "x" / str(k)).mkdir(parents=True)
        stored.save(tmp_path / "x" / str(k) / "a.png", exif=entry)
        np.testing.assert_array_equal(np.asarray(open_picture(tmp_path / "x" / str(k) / "a.png")), np.asarray(upright))
    wide = upright.resize((30, 20))
    entry[0x0112] = 6
    (tmp_path / "y" / "a").mkdir(parents=True)
    (tmp_path / "y" / "b").mkdir()
    wide.save(tmp_path / "y" / "a" / "0.png")
    wide.rotate(90, expand=True).save(tmp_path / "y" / "b" / "0.png", exif=entry)
    with pytest.warns(UserWarning, match="1 pictures that are the same in several classes"):
        images = load(str(tmp_path / "y")).images
    assert images.shape[2:] == (20, 30, 1)
    np.testing.assert_array_equal(images[0], images[1])


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"a\.png is not a picture that can be read"):
        open_picture(tmp_path / "a.png")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match="its pixels are floats"):
        open_picture(tmp_path / "b.tif")


def test_a_transparent_picture_is_on_the_paper_of_its_data_set():
    picture = clear("RGBA", 200)(90)
    picture.putpixel((0, 0), (0, 0, 0, 255))
    on_white, on_black = (as_learned(picture, (20, 20, 3), ink, inverted=False) for ink in ("dark", "light"))
    assert on_white[0, 1].tolist() == [255] * 3 and on_black[0, 1].tolist() == [0] * 3
    assert on_white[7, 5, 0] > 195 and on_black[0, 0].tolist() == [0] * 3


def drawings(paper, ink, shape=(8, 8, 1)):
    """Two classes of three drawings: a bar in the middle."""
    images = np.full((2, 3, *shape), paper, np.uint8)
    images[:, :, 3:5, 2:6] = ink
    return make_dataset("set", images)


def test_paper_is_the_median_of_all_borders():
    images = np.zeros((1, 3, 4, 4, 1), np.uint8)
    images[0, 0] = 255  # one picture of three
    images[:, :, 1:3, 1:3] = 255
    assert look(images[0]) == Look((4, 4), 1, "light")
    images[0, 1] = 255
    assert look(images[0]).ink == "dark"


def test_ink_is_that_of_most_and_photographs_have_none():
    rng = np.random.default_rng(0)
    photographs = rng.integers(0, 256, (1, 9, 16, 16, 3), np.uint8)
    assert look(photographs[0]).ink == "none"
    rough = np.clip(150 + 12 * rng.standard_normal((1, 9, 16, 16, 1)), 0, 255).astype(np.uint8)
    assert look(rough[0]).ink == "dark", "paper that isn't even"
    assert ink_of([(np.zeros((8, 8)), np.zeros((8, 8), np.uint8))]) == "dark", "nothing is seen"
    green = np.zeros((1, 1, 4, 4, 3), np.uint8)
    green[..., 1] = 255  # a luminance of 149.7
    assert look(green[0]).ink == "dark"


def test_ink_decides_what_is_inverted():
    rng = np.random.default_rng(0)
    photographs = make_dataset("set", rng.integers(0, 256, (2, 3, 8, 8, 1), np.uint8))
    dark, light, gray = drawings(255, 0), drawings(0, 255), drawings(150, 10)
    for data in (dark, light, gray, photographs):
        for like in (dark, light, gray, photographs):
            found, done = match(data, like.look)
            apart = {data.look.ink, like.look.ink} == {"dark", "light"}
            np.testing.assert_array_equal(found.images, 255 - data.images if apart else data.images)
            words = [f"{one.look.ink} ink".replace("none", "no") for one in (data, like)]
            start = "inverted" if apart else "not inverted"
            assert done == (f"{start} ({words[0]} here and {words[1]} in training)",)
            assert found.look.ink == (like if apart else data).look.ink


def test_examples_that_are_not_real_stay_blank():
    images = drawings(255, 0).images.copy()
    images[1, 2] = 0
    found, done = match(make_dataset("set", images, counts=np.array([3, 2])), Look((8, 8), 1, "light"))
    assert done[0].startswith("inverted")
    np.testing.assert_array_equal(found.examples[0], drawings(0, 255).images[0])
    assert not found.examples.padded()[1, 2].any()


def test_size_and_color_are_matched():
    color = np.zeros((2, 3, 20, 10, 3), np.uint8)
    color[..., 0] = 255
    gray, done = match(make_dataset("set", color), Look((8, 8), 1, "light"))
    assert gray.images.shape == (2, 3, 8, 8, 1) and gray.images.dtype == np.uint8 and np.all(gray.images == 76)
    assert done[:2] == ("made gray by luminance", "resized from 20 x 10 to 8 x 8") and len(done) == 3
    back, done = match(gray, Look((8, 8), 3, "light"))
    assert back.images.shape == (2, 3, 8, 8, 3) and np.all(back.images == 76)
    assert done[0] == "given three equal channels" and len(done) == 2
    assert resize(gray.examples.rows, (8, 8, 1)) is gray.examples.rows


def test_changed_images_have_their_own_checksum():
    """Fails where a data set that was resized or inverted keeps the checksum of what it was."""
    data = drawings(255, 0)
    inverted, smaller = match(data, Look((8, 8), 1, "light"))[0], resized(data, (4, 4, 1))
    assert len({data.checksum, inverted.checksum, smaller.checksum}) == 3
    for one in (inverted, smaller):
        assert one.checksum == make_dataset("set", one.images).checksum
    assert resized(data, (8, 8, 1)).checksum == match(data, data.look)[0].checksum == data.checksum


def test_resizing_keeps_the_drawing_and_its_proportions():
    small = resize(drawings(0, 255, (16, 16, 1)).images, (8, 8, 1))[0, 0, :, :, 0]
    assert np.unravel_index(small.argmax(), small.shape) in [(1, 1), (2, 1), (1, 2), (2, 2)] and small[6:].max() == 0
    wide = np.full((10, 30, 1), 200, np.uint8)
    wide[4:6, 10:20] = 0
    found = fit(wide, (30, 30, 1))[..., 0]
    np.testing.assert_array_equal(found[10:20], wide[..., 0])
    assert np.all(found[:10] == 200) and np.all(found[20:] == 200)


def test_other_numbers_of_channels_are_refused():
    assert fit(np.zeros((4, 4, 2), np.uint8), (4, 4, 2)).shape == (4, 4, 2)
    assert fit(np.zeros((4, 4, 4), np.uint8), (2, 2, 4)).shape == (2, 2, 4)
    with pytest.raises(DataError, match="pictures of 2 channels can't be shown to a network that takes 1"):
        match(make_dataset("set", np.zeros((1, 1, 4, 4, 2), np.uint8)), Look((4, 4), 1, "light"))
