"""Stores in which something was damaged, exchanged or forged: no sweep may believe any of it.

``python tests/fuzz/damaged_chunks.py SEED`` repeats a case. A sweep over a damaged store must give
the bits of one without a store, or end in one sentence that names the place in its way.
"""

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from pathlib import Path
from zipfile import BadZipFile

import child
import engine
import forgeries
import numpy as np
import xarray as xr

from toymodels.errors import UserError
from toymodels.sweep.store import Store, signature

STRANGERS = {
    "other code": {"factor": 2.0},
    "other data": {"data": engine.DATA + 1},
    "other seeds": {"seeds": (7, 8)},
    "other points": {"rates": (0.1, 0.2, 0.9)},
    "other width": {"width": 1},
}


@functools.cache
def undisturbed() -> xr.Dataset:
    """The sweep without a store."""
    return engine.run()[0]


@functools.cache
def stores() -> dict[str, Path]:
    """A finished store of the sweep, and of others that resemble it."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, root)
    for name, change in {"own": {}, **STRANGERS}.items():
        engine.run(Store(root / name), **change)
    return {name: root / name for name in ("own", *STRANGERS)}


def files(store: Path) -> list[Path]:
    """The chunks of a store, and what it remembers of widths."""
    return sorted(store.glob("*/*.chunk"))


def content(case, path: Path) -> bytes:
    """What somebody's disk or copy may have made of a file."""
    old = path.read_bytes()
    r = case.random
    match case.draw(
        ("flip", "cut", "pad", "empty", "zeros", "lines", "foreign", "forged", "forged")
    ):
        case "flip":
            new = bytearray(old)
            for _ in range(r.choice((1, 1, 2, 50))):
                new[r.randrange(len(new))] ^= r.randint(1, 255)
            return bytes(new)
        case "cut":
            return old[: r.randrange(len(old))]
        case "pad":
            return old + r.choice((b"\0", b"\n", b"\x1a" * 100, old))
        case "empty":
            return b""
        case "zeros":  # a block that was never written
            start = r.randrange(len(old))
            return old[:start] + bytes(len(old) - start)
        case "lines":  # a copy as text
            return old.replace(b"\n", b"\r\n") + b"\r\n"
        case "foreign":
            return forgeries.foreign(case)
        case _:
            body = forgeries.body(case, dict(np.load(path_body(path))))
            return signature(path.parent.name, path.stem, body) + body


def path_body(path: Path):
    """The archive within a chunk."""
    file = path.open("rb")
    file.seek(32)
    return file


def damage_file(case, own: Path) -> None:
    """Put something else in a chunk's place, or exchange it."""
    present = [p for p in files(own) if p.is_file() and not p.is_symlink()]
    if not present:
        return
    path = case.draw(present)
    kind = case.draw(("content", "content", "exchange", "stranger", "stranger", "place", "gone"))
    if kind == "content":
        path.write_bytes(content(case, path))
    elif kind == "gone":
        path.unlink()
    elif kind == "exchange":
        other = case.draw(present)
        contents = path.read_bytes(), other.read_bytes()
        other.write_bytes(contents[0])
        path.write_bytes(contents[1])
    elif kind == "stranger":
        name = case.draw(STRANGERS)
        theirs = case.draw(files(stores()[name]))
        place = case.draw(("its place", "its own name")) == "its place"
        target = path if place else path.parent / theirs.name
        target.write_bytes(theirs.read_bytes())
    else:
        replace(case, path)


def replace(case, path: Path) -> None:
    """Put what is no ordinary file in the place of one."""
    kept = path.with_name("kept")
    path.rename(kept)
    kind = case.draw(("link", "dangling", "endless", "loop", "pipe", "folder", "huge"))
    if kind == "link":
        path.symlink_to(case.draw(files(stores()[case.draw(STRANGERS)])))
    elif kind == "dangling":
        path.symlink_to("/nowhere/at/all")
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "file").write_text("")
    else:
        with path.open("wb") as file:
            file.truncate(2**40)


def damage_folder(case, own: Path) -> None:
    """Exchange, link or clutter a program's folder."""
    folder = case.draw(sorted(p for p in own.iterdir() if p.is_dir()))
    kind = case.draw(("contents", "contents", "link", "file", "clutter", "names", "times"))
    theirs = stores()[case.draw(STRANGERS)]
    if kind == "contents":  # a folder renamed: every file has another program's name
        other = case.draw(sorted(theirs.iterdir()))
        shutil.rmtree(folder)
        shutil.copytree(other, folder)
    elif kind == "link":
        shutil.rmtree(folder)
        other = shutil.copytree(case.draw(sorted(theirs.iterdir())), case.folder / "linked")
        folder.symlink_to(other, target_is_directory=True)
    elif kind == "file":
        shutil.rmtree(folder)
        folder.write_text("")
    elif kind == "clutter":
        for name in ("a", ".chunk", "results.nc", ".partial-x", "width-5.chunk"):
            (folder / name).write_bytes(forgeries.foreign(case))
    elif kind == "names":
        source = case.draw(files(folder.parent)).read_bytes()
        for name in (
            b"\xff\xfe.chunk",
            b"a\nb.chunk",
            b" .chunk",
            b"-.chunk",
            b"x" * 240 + b".chunk",
        ):
            Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(source)
    else:
        for path in files(own):
            os.utime(path, (case.draw((0, 2**33)),) * 2)


def case(case: child.Case) -> str:
    """Damage a store in up to four places, and run the sweep over it, twice."""
    own = case.folder / "store"
    shutil.copytree(stores()["own"], own)
    for _ in range(case.random.choice((1, 1, 2, 4))):
        damage = case.draw((damage_file, damage_file, damage_file, damage_folder))
        # What an earlier damage has left (a link, a torn archive) may not take another one.
        with contextlib.suppress(OSError, ValueError, EOFError, MemoryError, BadZipFile):
            damage(case, own)
    try:
        first, _ = engine.run(Store(own))
        second, execution = engine.run(Store(own))
    except UserError as error:
        text = child.sentence(error)
        assert str(own) in text, text
        assert blocked(own), text
        return "refused"
    xr.testing.assert_identical(first, undisturbed())
    xr.testing.assert_identical(second, undisturbed())
    assert execution.from_store == execution.models, "what was computed again was not kept"
    assert not forgeries.EXECUTED.exists()
    return "computed" if execution else ""


def blocked(own: Path) -> bool:
    """Whether something lies where a file or a folder must be written."""
    return any(p.is_dir() for p in own.glob("*/*.chunk")) or any(p.is_file() for p in own.iterdir())


if __name__ == "__main__":
    engine.compile_once()
    child.main("chunks", case)
