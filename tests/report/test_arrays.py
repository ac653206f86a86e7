"""Arrays out of npz files that are damaged, that lie, or that are too large: one error, in little memory and time."""

import os
import resource
import struct
import time
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmeta.report import arrays

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6, 1)).astype(np.uint8)


def header(text):
    text = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def of(shape, dtype="|u1"):
    return header(repr({"descr": dtype, "fortran_order": False, "shape": shape}))


BAD = {
    "10^12 bytes": of((10**6, 10**3, 10, 10, 10)),
    "10^40 bytes": of((10**20, 10**10, 10**10, 1, 1)),
    "below zero": of((-1, 3)) + b"abc",
    "less than it says": of((4, 5)) + b"abc",
    "more than it says": of((1,)) + b"abc",
    "objects": of((1,), "|O") + b"abcdefgh",
    "empty": b"",
    "text": b"abc",
    "nested": b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 8999 + b"\n",
    "nested lists": header(repr({"descr": "|u1", "fortran_order": False, "shape": 0}).replace("0}", "[" * 60)),
    "no dictionary": header("[1, 2]"),
    "odd type": of((1,), "|Q9") + b"a",
    "wide type": of((1,), "|S99999999999") + b"a",
    "long header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b" " * 10**6,
    "version 9": b"\x93NUMPY\x09\x00abc",
}


@pytest.mark.parametrize("content", BAD.values(), ids=list(BAD))
def test_headers_that_lie_are_one_error(tmp_path, content):
    """Fails where numpy's parser raises what nobody expects, or memory is taken for what a header says."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(arrays.DAMAGED):
        arrays.read_npz(tmp_path / "a.npz")


def test_what_is_not_asked_for_is_not_read(tmp_path):
    """A member of 2 GiB beside good pictures, packed to 2 MiB: fails where all of a file is read."""
    np.savez(tmp_path / "a.npz", images=IMAGES, text=np.array("x"))
    with zipfile.ZipFile(tmp_path / "a.npz", "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("README", b"no array")
        with archive.open("unused.npy", "w", force_zip64=True) as member:
            member.write(of((512, 1024, 1024)))
            for _ in range(512):
                member.write(bytes(2**20))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = arrays.read_npz(tmp_path / "a.npz", lambda declared: [key for key in declared if key != "unused"])
    assert set(found) == {"images", "text"}
    np.testing.assert_array_equal(found["images"], IMAGES)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17 and time.perf_counter() - start < 2


def test_more_than_there_is_memory_for_is_refused(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", images=IMAGES)
    monkeypatch.setattr(arrays, "memory_at_hand", lambda: IMAGES.nbytes - 1)
    with pytest.raises(ValueError, match="needs 360 bytes, and 359 of memory are at hand"):
        arrays.read_npz(tmp_path / "a.npz")


def test_memory_at_hand_is_that_of_the_machine():
    assert 2**20 < arrays.memory_at_hand() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_encrypted_and_rarely_packed_members_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 8] |= 1
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"images\.npy is encrypted"):
        arrays.read_npz(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", of((1,)) + b"a")
    with pytest.raises(ValueError, match="packed otherwise than by deflate"):
        arrays.read_npz(tmp_path / "c.npz")


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", "/dev/zero"):
        with pytest.raises(ValueError, match="it is a pipe, a device or a socket"):
            arrays.read_npz(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 2000))
def test_any_damage_is_one_of_the_errors_that_readers_expect(tmp_path, changes, cut):
    """Fails for bytes that make zipfile or numpy raise what `DAMAGED` does not name."""
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES, counts=np.arange(4))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    (tmp_path / "b.npz").write_bytes(content[: len(content) - (cut if cut < 200 else 0)])
    try:
        found = arrays.read_npz(tmp_path / "b.npz")
    except arrays.DAMAGED:
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())
