"""The data loader: every byte is verified, and nothing fails but with a sentence for the user.

Most tests put a tiny dataset of the same form into `FILES`; those of the real MNIST are skipped
where its files are not beside the repository. No test reaches beyond 127.0.0.1.
"""

import gzip
import hashlib
import io
import re
import struct
import subprocess
import sys
import threading
import tracemalloc
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from toymodels.data import datasets
from toymodels.data.datasets import File, load, read_idx
from toymodels.errors import UserError

REAL = Path(__file__).parents[2] / "shared" / "mnist"
real_mnist = pytest.mark.skipif(not REAL.is_dir(), reason="the MNIST files are not at hand")


def idx(array):
    """The idx file of a uint8 array."""
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No mirror, no variable of the user's, no cache of the user's."""
    monkeypatch.setattr(datasets, "MIRRORS", {"mnist": ()})
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("TOYMODELS_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def tiny(monkeypatch):
    """A dataset like MNIST, of 20 + 10 images of 4 x 3 pixels: file name -> its bytes."""
    rng = np.random.default_rng(0)
    files, contents = {}, {}
    for part, file in datasets.FILES["mnist"].items():
        shape = (20 if "train" in part else 10, 4, 3)[: 3 if "images" in part else 1]
        data = idx(rng.integers(0, 10, shape, dtype=np.uint8))
        contents[file.name] = data
        files[part] = File(file.name, len(data), hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(datasets, "FILES", {"mnist": files})
    return contents


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


def zipped(contents):
    return {f"{name}.gz": gzip.compress(data) for name, data in contents.items()}


def is_tiny(dataset, contents):
    """Whether it is the dataset of these files, of the promised types."""
    return (
        dataset.name == "mnist"
        and dataset.white == 255
        and dataset.n_classes == 10
        and dataset.train_images.dtype == dataset.test_images.dtype == np.uint8
        and dataset.train_labels.dtype == dataset.test_labels.dtype == np.int32
        and idx(dataset.train_images) == contents["train-images-idx3-ubyte"]
        and idx(dataset.train_labels.astype(np.uint8)) == contents["train-labels-idx1-ubyte"]
        and idx(dataset.test_images) == contents["t10k-images-idx3-ubyte"]
        and idx(dataset.test_labels.astype(np.uint8)) == contents["t10k-labels-idx1-ubyte"]
        and dataset.sha256 == {n: hashlib.sha256(d).hexdigest() for n, d in contents.items()}
    )


def silent(line):
    raise AssertionError(f"announced: {line}")


# --- found on disk --------------------------------------------------------------------------------


@pytest.mark.parametrize("subfolder", [".", "mnist", "MNIST/raw", "raw"])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_finds_every_layout(tiny, tmp_path, subfolder, dotted, packed):
    named = {n.replace("-idx", ".idx") if dotted else n: data for n, data in tiny.items()}
    write(tmp_path / subfolder, zipped(named) if packed else named)
    for name in ("mnist", "auto"):
        assert is_tiny(load(name, tmp_path, announce=silent), tiny)


def test_parts_may_be_scattered(tiny, tmp_path):
    one, two, three, four = ({name: data} for name, data in tiny.items())
    write(tmp_path, one)
    write(tmp_path / "raw", zipped(two))
    write(tmp_path / "MNIST/raw", three)
    write(tmp_path / "mnist", zipped(four))
    assert is_tiny(load("mnist", tmp_path, announce=silent), tiny)


@pytest.mark.parametrize("absent", [1, 2])
def test_files_that_are_missing_beside_others_are_named(tiny, tmp_path, absent):
    names = list(tiny)[:absent]
    write(tmp_path, {name: data for name, data in tiny.items() if name not in names})
    verb = "is" if absent == 1 else "are"
    with pytest.raises(UserError) as caught:
        load("mnist", tmp_path, announce=silent)
    assert f"{' and '.join(names)} {verb} not in {tmp_path}, and " in str(caught.value)


def test_data_dir_goes_before_the_variable_and_the_variable_before_the_cache(
    tiny, tmp_path, monkeypatch
):
    good, bad = tmp_path / "good", tmp_path / "bad"
    write(good, tiny)
    write(bad, dict.fromkeys(tiny, b"no idx file"))
    monkeypatch.setenv("TOYMODELS_DATA", str(bad))
    assert is_tiny(load("mnist", good), tiny)
    write(tmp_path / "cache" / "toymodels", dict.fromkeys(tiny, b"no idx file"))
    monkeypatch.setenv("TOYMODELS_DATA", str(good))
    assert is_tiny(load("mnist"), tiny)
    write(tmp_path / "cache" / "toymodels", tiny)
    monkeypatch.setenv("TOYMODELS_DATA", "")
    assert is_tiny(load("mnist"), tiny)


@real_mnist
def test_the_real_mnist_packed():
    mnist = load("mnist", REAL, announce=silent)
    assert mnist.train_images.shape == (60_000, 28, 28)
    assert mnist.test_images.shape == (10_000, 28, 28)
    assert mnist.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(mnist.test_labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert mnist.train_images.mean() / mnist.white == pytest.approx(0.1307, abs=1e-4)
    assert mnist.train_images.max() == mnist.white == 255


@real_mnist
def test_the_real_mnist_as_torchvision_leaves_it(tmp_path):
    unpacked = {path.stem: gzip.decompress(path.read_bytes()) for path in REAL.glob("*.gz")}
    write(tmp_path / "MNIST/raw", unpacked)
    mnist = load("auto", tmp_path, announce=silent)
    assert mnist.name == "mnist"
    assert mnist.sha256.keys() == unpacked.keys()
    assert idx(mnist.train_images) == unpacked["train-images-idx3-ubyte"]


# --- present, but broken --------------------------------------------------------------------------


def flipped(data, position=-1):
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


BREAKAGES = {
    "empty": ("", lambda data: b"", "wrong size"),
    "truncated": ("", lambda data: data[:-1], "wrong size"),
    "too long": ("", lambda data: data + b"\0", "wrong size"),
    "bit flipped": ("", flipped, "wrong checksum"),
    "a web page": ("", lambda data: b"<html>Sign in</html>", "wrong size"),
    "empty gzip file": (".gz", lambda data: b"", "wrong size"),
    "truncated gzip": (".gz", lambda data: gzip.compress(data)[:-12], "gzip"),
    "gzip header only": (".gz", lambda data: gzip.compress(data)[:4], "gzip"),
    "bit flipped in gzip": (".gz", lambda data: flipped(gzip.compress(data), 10), "gzip"),
    "gzip with wrong crc": (".gz", lambda data: flipped(gzip.compress(data), -8), "gzip"),
    "gzip, then rubbish": (".gz", lambda data: gzip.compress(data) + b"rubbish", "gzip"),
    "gzip of less": (".gz", lambda data: gzip.compress(data[:-1]), "wrong size"),
    "gzip of more": (".gz", lambda data: gzip.compress(data + b"\0"), "wrong size: more bytes"),
    "gzip of other data": (".gz", lambda data: gzip.compress(flipped(data)), "wrong checksum"),
}


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_file_is_named_and_never_passed_over(tiny, tmp_path, breakage, name):
    suffix, damage, wrong = BREAKAGES[breakage]
    write(tmp_path, tiny)
    victim = "train-images-idx3-ubyte"
    (tmp_path / victim).unlink()
    path = tmp_path / f"{victim}{suffix}"
    path.write_bytes(damage(tiny[victim]))
    with pytest.raises(UserError) as caught:
        load(name, tmp_path, announce=silent)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert wrong in message
    assert "delete it" in message
    assert "--data-dir" in message
    assert "\n" not in message


def test_a_broken_file_is_reported_though_others_are_missing(tiny, tmp_path):
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"broken")
    with pytest.raises(UserError, match="t10k-labels-idx1-ubyte has the wrong size"):
        load("auto", tmp_path, announce=silent)


def test_a_gzip_bomb_is_not_unpacked(tiny, tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(2**25), 1))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="wrong size: more bytes"):
            load("mnist", tmp_path, announce=silent)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_contents_that_are_no_idx_file_are_reported_even_with_the_right_checksum(
    tiny, tmp_path, monkeypatch
):
    data = b"not an idx file"
    impostor = File("train-images-idx3-ubyte", len(data), hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(datasets.FILES["mnist"], "train_images", impostor)
    write(tmp_path, tiny | {impostor.name: data})
    with pytest.raises(UserError, match="no idx header"):
        load("mnist", tmp_path, announce=silent)


def test_an_unreadable_file(tiny, tmp_path, monkeypatch):
    """The system's refusal is imitated, for root is refused nothing."""
    write(tmp_path, tiny)
    path_open = Path.open

    def refuse(path, *args, **kwargs):
        if path.name == "train-images-idx3-ubyte":
            raise PermissionError(13, "Permission denied", str(path))
        return path_open(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    for name in ("mnist", "auto"):
        with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)") as caught:
            load(name, tmp_path, announce=silent)
        assert str(tmp_path / "train-images-idx3-ubyte") in str(caught.value)


# --- the folder and the name ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_a_data_dir_that_is_no_folder(tiny, tmp_path, name, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(UserError, match="is not a folder") as caught:
            load(name, path, announce=silent)
        assert str(path) in str(caught.value)
    assert not (tmp_path / "nowhere").exists()
    monkeypatch.setenv("TOYMODELS_DATA", str(tmp_path / "file"))
    with pytest.raises(UserError, match="is not a folder"):
        load(name, announce=silent)


def test_a_folder_that_may_not_be_entered(tiny, tmp_path, monkeypatch):
    write(tmp_path, tiny)
    monkeypatch.setattr(datasets.os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="is not a folder"):
        load("auto", tmp_path, announce=silent)


@pytest.mark.parametrize("name", ["cifar", "MNIST", "", "digits "])
def test_an_unknown_name(name):
    with pytest.raises(UserError) as caught:
        load(name)
    assert (
        str(caught.value)
        == f"dataset must be one of auto, mnist, fashion, emnist, digits; got {name!r}"
    )


# --- downloaded -----------------------------------------------------------------------------------


@contextmanager
def mirror(replies):
    """An HTTP server: `replies` maps a path to a body, or to a function of the request handler.

    Yields its address and the list of the paths that were asked for.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path.lstrip("/"))
            reply = replies.get(self.path.lstrip("/"))
            if reply is None:
                self.send_error(404)
            elif callable(reply):
                reply(self)
            else:
                self.send_response(200)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cut_short(body):
    """A reply that promises more than it sends."""

    def reply(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])

    return reply


def endless(handler):
    """A reply without a length that goes on until the client hangs up."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(2**10):
            handler.wfile.write(bytes(2**20))
    except OSError:
        handler.server.hung_up = True


def use_mirrors(monkeypatch, *addresses):
    monkeypatch.setattr(datasets, "MIRRORS", {"mnist": addresses})


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def kept(folder):
    return {path.name: path.read_bytes() for path in (folder / "mnist").iterdir()}


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_downloads_what_is_missing_once(tiny, tmp_path, monkeypatch, name, capfd):
    lines = []
    with mirror(zipped(tiny)) as (address, asked):
        use_mirrors(monkeypatch, address)
        assert is_tiny(load(name, tmp_path, announce=lines.append), tiny)
        assert asked == [f"{file}.gz" for file in tiny]
        assert is_tiny(load(name, tmp_path, announce=silent), tiny)
        assert len(asked) == 4
    assert kept(tmp_path) == tiny
    assert len(lines) == 1
    assert str(tmp_path / "mnist") in lines[0]
    assert capfd.readouterr() == ("", "")


def test_a_download_is_drawn_on_a_terminal_only(tiny, tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with mirror(zipped(tiny)) as (address, _):
        use_mirrors(monkeypatch, address)
        assert is_tiny(load("mnist", tmp_path, announce=lambda line: None), tiny)
    assert "train-images-idx3-ubyte" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_downloads_only_what_is_missing_and_into_a_cache_that_is_not_there_yet(
    tiny, tmp_path, monkeypatch
):
    folder = tmp_path / "new" / "cache"
    monkeypatch.setenv("TOYMODELS_DATA", str(folder))
    with mirror(zipped(tiny)) as (address, asked):
        use_mirrors(monkeypatch, address)
        load("mnist", announce=lambda line: None)
        (folder / "mnist" / "t10k-images-idx3-ubyte").unlink()
        load("mnist", announce=lambda line: None)
    assert asked[4:] == ["t10k-images-idx3-ubyte.gz"]
    assert kept(folder) == tiny


def test_a_mirror_may_unpack_what_it_serves(tiny, tmp_path, monkeypatch):
    with mirror({f"{name}.gz": data for name, data in tiny.items()}) as (address, _):
        use_mirrors(monkeypatch, address)
        assert is_tiny(load("mnist", tmp_path, announce=lambda line: None), tiny)


BAD_REPLIES = {
    "not found": (lambda body: None, "404"),
    "bit flipped": (lambda body: flipped(body, 10), "gzip"),
    "other data": (lambda body: gzip.compress(flipped(gzip.decompress(body))), "wrong checksum"),
    "truncated": (lambda body: body[:-12], "gzip"),
    "cut short": (cut_short, "ChunkedEncodingError"),
    "empty": (lambda body: b"", "wrong size"),
    "a web page": (lambda body: b"<html>Sign in</html>", "wrong size"),
    "bomb": (lambda body: gzip.compress(bytes(2**24)), "wrong size: more bytes"),
    "endless": (lambda body: endless, "never ends"),
}


@pytest.mark.parametrize("position", [0, 3])
@pytest.mark.parametrize("fault", BAD_REPLIES)
def test_after_a_bad_reply_the_next_mirror_is_asked(tiny, tmp_path, monkeypatch, fault, position):
    good = zipped(tiny)
    victim = list(good)[position]
    with (
        mirror(good | {victim: BAD_REPLIES[fault][0](good[victim])}) as (first, asked),
        mirror(good) as (second, asked_second),
    ):
        use_mirrors(monkeypatch, first, second)
        assert is_tiny(load("mnist", tmp_path, announce=lambda line: None), tiny)
    assert asked == list(good)[: position + 1]
    assert asked_second == list(good)[position:]
    assert kept(tmp_path) == tiny


@pytest.mark.parametrize("fault", BAD_REPLIES)
def test_when_every_mirror_fails_nothing_is_left(tiny, tmp_path, monkeypatch, fault):
    damage, reason = BAD_REPLIES[fault]
    lines = []
    with mirror({name: damage(body) for name, body in zipped(tiny).items()}) as (address, asked):
        use_mirrors(monkeypatch, address, address)
        with pytest.raises(UserError) as caught:
            load("mnist", tmp_path, announce=silent)
        assert asked == ["train-images-idx3-ubyte.gz"] * 2
        assert load("auto", tmp_path, announce=lines.append).name == "digits"
    message = str(caught.value)
    assert f"it is not in {tmp_path}, and the download failed" in message
    assert "--dataset digits" in message
    assert len(re.findall(rf"127\.0\.0\.1: [^;)]*{reason}", message)) == 2
    assert "\n" not in message
    assert len(lines) == 1
    assert re.fullmatch(r"MNIST could not be had: .* embedded 8x8 .* scikit-learn.*", lines[0])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in tmp_path.iterdir()] == ["mnist"]


def test_an_endless_reply_is_hung_up_on(tiny, tmp_path, monkeypatch):
    with mirror(dict.fromkeys(zipped(tiny), endless)) as (address, _):
        use_mirrors(monkeypatch, address)
        tracemalloc.start()
        try:
            with pytest.raises(UserError, match="never ends"):
                load("mnist", tmp_path, announce=silent)
            assert tracemalloc.get_traced_memory()[1] < 2**23
        finally:
            tracemalloc.stop()


def test_a_silent_mirror_is_given_up(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "ANSWER_SECONDS", 0.2)
    end = threading.Event()
    try:
        replies = dict.fromkeys(zipped(tiny), lambda handler: end.wait(60))
        with mirror(replies) as (address, asked):
            use_mirrors(monkeypatch, address)
            with pytest.raises(UserError, match=r"127\.0\.0\.1: no answer within 0\.2 s"):
                load("mnist", tmp_path, announce=silent)
            end.set()
    finally:
        end.set()
    assert asked == ["train-images-idx3-ubyte.gz"]


def test_a_mirror_that_refuses_the_connection(tiny, tmp_path, monkeypatch):
    with mirror({}) as (address, _):
        pass  # its port is closed again
    use_mirrors(monkeypatch, address)
    with pytest.raises(UserError, match=r"127\.0\.0\.1: ConnectionError"):
        load("mnist", tmp_path, announce=silent)


def test_a_folder_that_cannot_be_written_to(tiny, tmp_path, monkeypatch):
    (tmp_path / "mnist").write_bytes(b"a file where the folder should be")
    lines = []
    with mirror(zipped(tiny)) as (address, asked):
        use_mirrors(monkeypatch, address)
        with pytest.raises(UserError, match=r"mnist cannot be written to \(File exists\)"):
            load("mnist", tmp_path, announce=silent)
        assert load("auto", tmp_path, announce=lines.append).name == "digits"
    assert asked == []
    assert len(lines) == 1


@real_mnist
def test_downloads_the_real_mnist_from_the_second_mirror(tmp_path, monkeypatch):
    good = {path.name: path.read_bytes() for path in REAL.glob("*.gz")}
    bad = good | {"t10k-images-idx3-ubyte.gz": flipped(good["t10k-images-idx3-ubyte.gz"], 10**6)}
    with mirror(bad) as (first, _), mirror(good) as (second, asked):
        use_mirrors(monkeypatch, first, second)
        mnist = load("mnist", tmp_path, announce=lambda line: None)
    assert asked == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    assert mnist.train_images.shape == (60_000, 28, 28)
    assert sorted(kept(tmp_path)) == sorted(mnist.sha256)


# --- known by their gzip files --------------------------------------------------------------------


@pytest.fixture(params=["fashion", "emnist"])
def packed(request, monkeypatch):
    """Its name, and a tiny data set of that name: file name -> its bytes, packed and not."""
    rng, files, contents = np.random.default_rng(1), {}, {}
    for part, file in datasets.FILES[request.param].items():
        shape = (20 if "train" in part else 10, 4, 3)[: 3 if "images" in part else 1]
        data = idx(rng.integers(0, 10, shape, dtype=np.uint8))
        contents[file.name] = (gzip.compress(data, mtime=0), data)
        sha256 = hashlib.sha256(contents[file.name][0]).hexdigest()
        files[part] = File(file.name, len(data), sha256, packed=True)
    monkeypatch.setattr(datasets, "FILES", {request.param: files})
    monkeypatch.setattr(datasets, "MIRRORS", {request.param: ()})
    return request.param, contents


def test_every_data_set_has_files_mirrors_folders_a_title_and_classes():
    tables = (datasets.FILES, datasets.FOLDERS, datasets.TITLES, datasets.CLASSES)
    assert all(list(table) == ["mnist", "fashion", "emnist"] for table in tables)
    for name, files in datasets.FILES.items():
        assert list(files) == ["train_images", "train_labels", "test_images", "test_labels"]
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in files.values())
        assert all(file.packed == (name != "mnist") for file in files.values())
        for part in ("train", "test"):
            n = files[f"{part}_labels"].size - 8
            assert files[f"{part}_images"].size == 16 + n * 784


def test_packed_files_are_loaded_though_unpacked_ones_lie_beside(packed, tmp_path):
    name, contents = packed
    folder = tmp_path / datasets.FOLDERS[name][-1]
    write(folder, {f"{file}.gz": data for file, (data, _) in contents.items()})
    write(folder, dict.fromkeys(contents, b"whatever"))
    dataset = load(name, tmp_path, announce=silent)
    parts = [data for _, data in contents.values()]
    turned = [read_idx(data).swapaxes(1, 2) if name == "emnist" else read_idx(data)
              for data in (parts[0], parts[2])]  # fmt: skip
    np.testing.assert_array_equal(dataset.train_images, turned[0])
    np.testing.assert_array_equal(dataset.test_images, turned[1])
    np.testing.assert_array_equal(dataset.train_labels, read_idx(parts[1]))
    np.testing.assert_array_equal(dataset.test_labels, read_idx(parts[3]))
    assert (dataset.name, dataset.white) == (name, 255)
    assert dataset.n_classes == {"fashion": 10, "emnist": 47}[name]
    assert dataset.sha256 == {
        f"{file}.gz": hashlib.sha256(data).hexdigest() for file, (data, _) in contents.items()
    }


PACKED_BREAKAGES = {
    "packed otherwise": (".gz", lambda data: gzip.compress(data, 1, mtime=1), "wrong checksum"),
    "unpacked alone": ("", lambda data: data, "checksum is published of the gzip file only"),
    "unpacked, named .gz": (".gz", lambda data: data, "is no gzip file"),
    "truncated": (".gz", lambda data: gzip.compress(data)[:-12], "corrupt gzip file"),
    "followed by rubbish": (".gz", lambda data: gzip.compress(data, mtime=0) + b"\0", "checksum"),
    "of more": (".gz", lambda data: gzip.compress(data + b"\0"), "wrong size: more bytes"),
}


@pytest.mark.parametrize("breakage", PACKED_BREAKAGES)
def test_a_file_whose_published_checksum_cannot_be_checked_is_refused(packed, tmp_path, breakage):
    name, contents = packed
    suffix, damage, wrong = PACKED_BREAKAGES[breakage]
    folder = tmp_path / name
    write(folder, {f"{file}.gz": data for file, (data, _) in contents.items()})
    victim = next(iter(contents))
    (folder / f"{victim}.gz").unlink()
    (folder / f"{victim}{suffix}").write_bytes(damage(contents[victim][1]))
    with pytest.raises(UserError, match=re.escape(wrong)) as caught:
        load(name, tmp_path, announce=silent)
    assert str(caught.value).startswith(str(folder / victim))


def test_packed_files_are_downloaded_as_they_are_published(packed, tmp_path, monkeypatch):
    name, contents = packed
    published = {f"{file}.gz": data for file, (data, _) in contents.items()}
    with mirror(published) as (address, asked):
        monkeypatch.setattr(datasets, "MIRRORS", {name: (address,)})
        for _ in range(2):
            dataset = load(name, tmp_path, announce=lambda line: None)
    assert asked == list(published)
    assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == published
    assert len(dataset.test_images) == 10


def test_a_data_set_that_is_nowhere_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "MIRRORS", dict.fromkeys(datasets.FILES, ()))
    for name, title in datasets.TITLES.items():
        with pytest.raises(UserError, match=f"^{re.escape(title)} could not be had: .*no mirror"):
            load(name, tmp_path, announce=silent)


# --- the embedded digits --------------------------------------------------------------------------


def test_digits_are_scikit_learns_split_once_and_for_all():
    digits = load("digits", announce=silent)
    assert (digits.name, digits.white, digits.n_classes) == ("digits", 16, 10)
    assert digits.train_images.shape == (1437, 8, 8)
    assert digits.test_images.shape == (360, 8, 8)
    assert digits.train_images.dtype == digits.test_images.dtype == np.uint8
    assert digits.train_labels.dtype == digits.test_labels.dtype == np.int32
    assert digits.train_images.max() == digits.test_images.max() == 16
    test_part = digits.test_images.tobytes() + digits.test_labels.astype("<i4").tobytes()
    assert hashlib.sha256(test_part).hexdigest() == (
        "9cedc2815d84545a4ff851780b4cbfc971a2395fafca939bae76c512d4f4b170"
    ), "the split changed: every result on the digits changes with it"


def test_digits_parts_are_disjoint_complete_and_stratified():
    from sklearn.datasets import load_digits

    digits, bunch = load("digits"), load_digits()

    def rows(images, labels):
        return [(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]

    train = rows(digits.train_images, digits.train_labels)
    test = rows(digits.test_images, digits.test_labels)
    assert not set(train) & set(test)
    assert sorted(train + test) == sorted(rows(bunch.images.astype(np.uint8), bunch.target))
    share = np.bincount(digits.test_labels) / np.bincount(bunch.target)
    assert np.all(np.abs(share - 0.2) < 0.005)


def test_other_digits_are_noticed(monkeypatch):
    assert list(load("digits").sha256) == ["digits-images", "digits-labels"]
    for part in datasets.DIGITS_SHA256:
        with monkeypatch.context() as patch:
            patch.setitem(datasets.DIGITS_SHA256, part, "0" * 64)
            with pytest.raises(UserError, match="scikit-learn"):
                load("digits")


# --- the idx format -------------------------------------------------------------------------------


@settings(deadline=None)
@given(arrays(np.uint8, array_shapes(max_dims=3, min_side=0, max_side=9)))
def test_read_idx_reads_what_was_written(array):
    read = read_idx(idx(array))
    assert read.dtype == np.uint8
    assert np.array_equal(read, array)


@settings(deadline=None)
@given(arrays(np.uint8, array_shapes(max_dims=3, max_side=9)), st.data())
def test_read_idx_rejects_any_other_length(array, data):
    whole = idx(array)
    with pytest.raises(ValueError, match="idx"):
        read_idx(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match="idx shape"):
        read_idx(whole + data.draw(st.binary(min_size=1, max_size=9)))


@settings(deadline=None)
@given(st.binary() | st.binary().map(lambda rest: b"\0\0\x08\x03" + rest))
@example(b"\0\0\x08\x03" + struct.pack(">3I", 0, 2**32 - 1, 2**32 - 1))
@example(b"\0\0\x08\x00A")
@example(b"\0\0\x08\x04" + bytes(16))
@example(b"\0\0\x09\x01" + struct.pack(">I", 1) + b"A")
def test_read_idx_rejects_other_bytes_only_with_value_error(data):
    try:
        array = read_idx(data)
    except ValueError:
        return
    assert idx(array) == data


def test_importing_the_loader_imports_nothing_heavy():
    heavy = ("jax", "pooch", "requests", "rich", "scipy", "sklearn")
    code = f"import sys, toymodels.data.datasets; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr
