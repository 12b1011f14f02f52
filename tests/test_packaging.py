"""The wheel: what it holds, and that it works beside a package of the user's own."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
TINY = (
    "--dataset digits --seeds 1 --widths 8 --noise-images 64 --teacher-epochs 1 --student-epochs 1"
)


def test_every_package_of_the_checkout_is_declared():
    here = {
        ".".join(p.parent.relative_to(ROOT).parts) for p in ROOT.glob("toymodels/**/__init__.py")
    }
    assert set(SETUP["packages"]) == here | {"toymodels.experiments"}


def run(*words, site, cwd, code=0):
    """A command in which the installed wheel comes first; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(site), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *words]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the wheel installed in it, and nothing else."""
    folder, copy = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("copy")
    for name in ("toymodels", "experiments"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(copy)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("toymodels-*.whl")
    roots = {Path(name).parts[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"toymodels"}
    target = folder / "site"
    install = [*pip, "install", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


@pytest.mark.thorough
def test_a_wheel_works_beside_a_users_own_experiments(site, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__init__.py").write_text("MINE = 1\n")
    code = "import experiments, toymodels.experiments as e; print(experiments.MINE, e.__file__)"
    assert run("-c", code, site=site, cwd=tmp_path).split() == [
        "1",
        str(site / "toymodels" / "experiments" / "__init__.py"),
    ]
    script = str(site / "bin" / "toymodels")
    assert "mnist_aux" in run(script, site=site, cwd=tmp_path)
    out = tmp_path / "out"
    told = run(script, "mnist_aux", *TINY.split(), "--out", str(out), site=site, cwd=tmp_path)
    assert str(out) in told
    assert (out / "figure.png").exists()
    assert "figure" in run(script, "show", str(out), site=site, cwd=tmp_path)


@pytest.mark.thorough
def test_tools_explain_that_a_wheel_has_no_figures(site, tmp_path):
    script = str(site / "bin" / "toymodels")
    told = run(script, "figures", "--check", site=site, cwd=tmp_path, code=2)
    assert told.startswith("error: folder must hold results; got figures without one (")
    told = run(script, "published", site=site, cwd=tmp_path, code=2)
    assert told.startswith("error: folder must hold results; got figures without one")
