"""The wheel alone is enough: it carries the configuration, the models and the data."""

import os
import re
import site
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import trimtab

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of commands of a fresh environment with the wheel; dependencies are lent to it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    python = [sys.executable, "-m", "pip", "--python", str(commands / "python")]
    options = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*python, *options, str(wheel)], check=True, capture_output=True)
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.check_output([commands / "python", "-c", find], text=True).strip()
    # Below its own packages, so that the wheel comes before an editable installation.
    Path(packages, "lent.pth").write_text("\n".join(site.getsitepackages()))
    return commands


def run(command, folder):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_what_the_package_reads(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src" / "trimtab"
    wanted = {f"trimtab/{f.relative_to(ROOT)}" for f in (ROOT / "conf").rglob("*.yaml")}
    for folder in ("zoo/models", "zoo/vectors", "zoo/data"):
        files = [f for f in (package / folder).rglob("*") if f.is_file()]
        assert files
        wanted |= {f"trimtab/{f.relative_to(package)}" for f in files}
    wanted |= {"trimtab/py.typed"}
    assert not wanted - held
    assert not {name for name in held if "tests" in name or "__pycache__" in name}


def test_the_installed_command_works_in_an_unrelated_folder(installed, tmp_path):
    trimtab_command = installed / "trimtab"
    where = "import trimtab.config.composition; print(trimtab.config.composition.DIRECTORY)"
    directory = Path(run([installed / "python", "-c", where], tmp_path).strip())
    assert directory.is_relative_to(installed.parent)
    assert "nudging" in run([trimtab_command, "ls"], tmp_path)
    shown = yaml.safe_load(run([trimtab_command, "run", "--cfg", "job", "limit=3"], tmp_path))
    assert shown["limit"] == 3
    assert not any(tmp_path.iterdir())
    few = ["method=guide", "limit=1", "generation.max_new_tokens=2", "results=out"]
    assert "n=1" in run([trimtab_command, "run", *few], tmp_path)


def test_the_version_is_stated_once_for_all():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == trimtab.__version__
    assert f"## {trimtab.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_pinned_for_the_tests():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["dev"]
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    assert {re.match(r"[\w-]+", name)[0] for name in needed} <= pinned
