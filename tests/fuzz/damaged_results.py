"""Folders of results that were damaged, or made by somebody else: read, or refused in one sentence.

``python tests/fuzz/damaged_results.py SEED`` repeats a case. The folder is opened from Python,
shown, and put beside what the literature reports.
"""

import contextlib
import io
import json
import os
import shutil
import warnings
from pathlib import Path

import child
import forgeries
import h5py
import numpy as np

from experiments import published, show
from toymodels.errors import UserError, plain
from toymodels.study import plotting, results

FIGURES = ("chain", "loss", "mnist_aux", "theory_linear")

TEXTS = (
    *("", "null", "[]", "{}", "3", "[1, null]", '{"a": 1}', "NaN", "not JSON", '"text"'),
    *("[" * 50_000, "\x1b]0;owned\x07", "\x1b[2J", "\u202e", "[bold]x[/bold]", "a\nb\nc"),
    *('[{"seed": "\x1b[31m"}]', '{"name": "\x1b[31m", "sha256": ""}', "-" * 10**6),
    *('["\x1b[31m", "[/]", "' + "x" * 5000 + '"]', '{"compile_s": 1, "run_s": {}}'),
    *("1e999", "mnist_aux", "show", "../x", "os"),
)

VALUES = (
    *(0, -1, 2**70, 1e400, float("nan"), None, True, "text", "\x1b[2J", [], {}, [[1]]),
    {"n": "x"},
)


def damage_bytes(case, path: Path) -> None:
    """Change bytes of a file, most of them where HDF5 keeps its structure."""
    old, r = bytearray(path.read_bytes()), case.random
    kind = case.draw(("flip", "flip", "flip", "cut", "pad", "zeros", "foreign", "empty", "random"))
    if kind == "flip":
        for _ in range(r.choice((1, 2, 8, 100))):
            most = r.choice((600, len(old), len(old)))
            old[r.randrange(min(most, len(old)))] = r.randrange(256)
    elif kind == "cut":
        del old[r.randrange(len(old)) :]
    elif kind == "pad":
        old += bytes(r.randrange(1, 10_000))
    elif kind == "zeros":
        start = r.randrange(len(old))
        old[start : start + 4096] = bytes(len(old[start : start + 4096]))
    elif kind == "foreign":
        old = bytearray(forgeries.foreign(case))
    elif kind == "empty":
        old = bytearray()
    else:
        old = old[:8] + r.randbytes(5000)
    path.write_bytes(old)


def damage_place(case, path: Path) -> None:
    """Put what is no ordinary file in a file's place."""
    path.unlink()
    kind = case.draw(("gone", "pipe", "endless", "dangling", "loop", "folder", "huge", "terminal"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("endless", "dangling", "loop", "terminal"):
        targets = {"endless": "/dev/zero", "dangling": "/no/where", "loop": path}
        path.symlink_to(targets.get(kind, "/dev/tty"))
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**40)


def damage_attribute(case, file: h5py.File) -> None:
    """Change what a result says about itself."""
    holder = file if case.draw((True, True, False)) else file[case.draw(sorted(file))]
    names = sorted(name for name in holder.attrs if name.isidentifier() and not name.isupper())
    if not names:
        return
    name = case.draw(names)
    kind = case.draw(("gone", "text", "text", "number", "array", "bytes", "reference"))
    del holder.attrs[name]
    if kind == "text":
        holder.attrs[name] = case.draw(TEXTS)
    elif kind == "number":
        holder.attrs[name] = case.draw((3, 1.5, float("nan"), True))
    elif kind == "array":
        holder.attrs[name] = np.arange(3)
    elif kind == "bytes":
        holder.attrs[name] = np.bytes_(b"\xff\xfe")
    elif kind == "reference":
        holder.attrs[name] = file.ref


def damage_variable(case, file: h5py.File) -> None:
    """Remove, rename, retype or replace an array, or add one that is no array of a result."""
    name = case.draw(sorted(file))
    kinds = ("gone", "renamed", "other type", "other shape", "values", "link", "outside", "group")
    kind = case.draw((*kinds, "virtual", "bomb", "ragged", "compound", "escape", "labels"))
    old = file[name][()]
    if kind in ("gone", "renamed", "other type", "other shape", "outside", "compound", "labels"):
        if kind == "renamed":
            file[case.draw(("other", "a b", "\x1b[31m"))] = file[name]
        del file[name]
    if kind == "other type":
        file[name] = np.zeros(np.shape(old), case.draw(("i1", "f8", "S5", "c8", "?", "u8")))
    elif kind == "other shape":
        file[name] = np.zeros(case.draw(((), (1,), (0,), (3, 4), (2,) * 7)), "f4")
    elif kind == "values" and old.dtype.kind == "f":
        file[name][...] = case.draw((np.nan, np.inf, -1.0, 3e38, 0.0))
    elif kind == "link":
        file["more"] = case.draw((h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/no")))
    elif kind == "outside":
        file.create_dataset(name, (100,), "i1", external=[("/etc/passwd", 0, 100)])
    elif kind == "group":
        file.create_group("more")["x"] = 1
    elif kind == "virtual":
        layout = h5py.VirtualLayout((3,), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3,))
        file.create_virtual_dataset("more", layout)
    elif kind == "bomb":
        shape = case.draw(((10**6, 10**6), (3 * 10**9,), (2**62,)))
        file.create_dataset("more", shape, "f4", chunks=(1000,) * len(shape), compression="gzip")
    elif kind == "ragged":
        file.create_dataset("more", (2,), h5py.vlen_dtype(np.int32))
    elif kind == "compound":
        file[name] = np.zeros(3, [("a", "f4"), ("b", "S3")])
    elif kind == "escape":
        file["\x1b[31mred\x1b[0m"] = np.zeros(3)
    elif kind == "labels":
        file[name] = np.array(["\x1b[2J"] * max(1, np.size(old)), h5py.string_dtype())


def damage_summary(case, path: Path) -> None:
    """Change something in the JSON."""
    found = json.loads(path.read_text())
    place, keys = found, []
    for _ in range(case.random.randint(1, 4)):
        if not isinstance(place, dict | list) or not place:
            break
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = case.draw(keys)
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or case.draw((False, False, True)):
            if case.draw((True, False)):
                place[key] = case.draw(VALUES)
            else:
                del place[key]
            break
        place = inner
    text = json.dumps(found)
    if case.draw((False,) * 4 + (True,)):
        text = case.draw(("\ufeff" + text, text * 2, text[:-5], *TEXTS))
    path.write_text(text, errors="surrogatepass")


def damage(case, folder: Path) -> None:
    """Damage a folder in one place."""
    nc, summary = folder / "results.nc", folder / "summary.json"
    kind = case.draw(("bytes", "inner", "inner", "inner", "summary", "summary", "place", "mixed"))
    if kind == "bytes":
        damage_bytes(case, case.draw((nc, nc, summary)))
    elif kind == "place":
        damage_place(case, case.draw((nc, nc, summary, folder / "figure.png")))
    elif kind == "summary":
        damage_summary(case, summary)
    elif kind == "mixed":
        other = child.ROOT / "figures" / case.draw(FIGURES)
        shutil.copy(other / case.draw(("results.nc", "summary.json")), folder)
    else:
        with h5py.File(nc, "a") as file:
            case.draw((damage_attribute, damage_variable))(case, file)


READERS = {
    "opened": lambda folder: results.open_result(folder).load(),
    "summary": lambda folder: results.read_summary(folder),
    "show": lambda folder: show.show(folder),
    "published": lambda folder: print(published.markdown(folder.parent)),
}


def case(case: child.Case) -> str:
    """Damage a folder, and read it in every way."""
    name = case.draw(FIGURES)
    folder = case.folder / "figures" / name
    shutil.copytree(child.ROOT / "figures" / name, folder)
    try:
        damage(case, folder)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        case.note(f"h5py itself refuses: {error}")
        return "not made"
    plotting.render = case.random.choice((render,) + 9 * (lambda figure: {"figure.png": b""},))
    outcomes = set()
    for reader in READERS:
        case.note(reader)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                READERS[reader](folder)
            outcomes.add("read")
        except UserError as error:
            child.sentence(UserError(plain(str(error))))
            outcomes.add("refused")
        text = printed.getvalue()
        assert all(c.isprintable() or c == "\n" for c in text), "a control character is printed"
    assert not forgeries.EXECUTED.exists(), "something was unpickled"
    return " and ".join(sorted(outcomes))


if __name__ == "__main__":
    render = plotting.render
    child.main("results", case, growth=3 * 2**30)
