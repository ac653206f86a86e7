"""Small archives in the layout of Omniglot's."""

import io
import zipfile

import numpy as np
from PIL import Image


def drawing(seed):
    """Ink as booleans [105, 105]: a cross whose place tells the seed."""
    ink = np.zeros((105, 105), bool)
    row, column = 10 + 13 * (seed % 7), 10 + 13 * (seed // 7 % 7)
    ink[row : row + 4], ink[:, column : column + 4] = True, True
    return ink


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_archive(path, characters, drawings=20, encode=lambda ink: ~ink):
    """Writes an archive in Omniglot's layout; `characters` maps alphabets to numbers of characters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with zipfile.ZipFile(path, "w") as archive:
        for alphabet, count in characters.items():
            for character in range(1, count + 1):
                number += 1
                for drawer in range(1, drawings + 1):
                    name = f"{path.stem}/{alphabet}/character{character:02d}/{number:04d}_{drawer:02d}.png"
                    archive.writestr(name, png(encode(drawing(number))))
    return path


def write_runs(path, lines=lambda run, pairs: pairs, left_out=()):
    """Writes an archive of one-shot runs; item i of run r is of class (7 i + r) mod 20, all counted from 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for run in range(20):
            folder, pairs = f"run{run + 1:02d}", []
            for i in range(20):
                item, label = f"{folder}/test/item{i + 1:02d}.png", (7 * i + run) % 20
                pairs.append(f"{item} {folder}/training/class{label + 1:02d}.png")
                for name, number in ((item, label), (f"{folder}/training/class{i + 1:02d}.png", i)):
                    if name not in left_out:
                        archive.writestr(name, png(~drawing(number + run)))
            archive.writestr(f"{folder}/class_labels.txt", "\n".join(lines(run, pairs)) + "\n")
    return path
