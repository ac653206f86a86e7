"""Files appear whole or not at all, with the mode that the user's other files have."""

import errno
import os

import numpy as np
import pytest

from jmeta.report import figures
from jmeta.report.files import write_json, write_text, writing


@pytest.fixture
def umask():
    """Sets the umask, as a shell does, for one test."""
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_mode_is_that_of_any_new_file(tmp_path, umask, mask):
    """Temporary files are for their owner alone, and a fixed mode would open what a user has closed."""
    umask(mask)
    write_text(tmp_path / "a", "x")
    write_json(tmp_path / "b", {"x": 1})
    figures.save(figures.figure_maker()(1, 1), tmp_path / "c")
    with writing(tmp_path / "d") as file:
        np.savez(file, x=np.ones(2))
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o666 & ~mask] * 4


def test_what_a_link_leads_to_is_written(tmp_path):
    """A move onto the link would replace it, and leave the file behind it as it was."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "file")
    for text in ("first", "second"):
        write_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "disk" / "file").read_text() == text


def test_a_failure_leaves_what_was_there_and_no_other_file(tmp_path):
    path = tmp_path / ("long" * 60)
    write_text(path, "kept")
    for error in (KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")):
        with pytest.raises(type(error)) as raised, writing(path) as file:
            file.write(b"half")
            raise error
        assert list(tmp_path.iterdir()) == [path] and path.read_text() == "kept"
    assert raised.value.filename == str(path), "an error names the file that was wanted"
    with pytest.raises(FileNotFoundError) as missing:
        write_text(tmp_path / "no" / "folder", "x")
    assert missing.value.filename == str(tmp_path / "no" / "folder")


def test_figures_have_one_style(tmp_path):
    """A grid behind lines and none over pictures."""
    figure = figures.figure_maker()(4, 2)
    lines, picture = figure.subplots(1, 2)
    lines.plot([0, 1], label="a")
    lines.legend()
    picture.imshow([[0, 1]])
    figures.save(figure, tmp_path / "figure.png")
    assert not lines.spines["top"].get_visible() and lines.spines["left"].get_visible()
    assert picture.spines["top"].get_visible() and not lines.get_legend().get_frame_on()
    assert [ax.xaxis.get_gridlines()[0].get_visible() for ax in (lines, picture)] == [True, False]
