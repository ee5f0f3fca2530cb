"""What every test starts from: one thread, folders of its own, no network, and reference files."""

import os
import tempfile
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

pytest_plugins = ["local_hub"]

_user = tempfile.TemporaryDirectory(prefix="saeval-tests-")

# Set here, before any test module imports numpy, torch or huggingface_hub, which read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = f"{_user.name}/hub"
os.environ["SAEVAL_CACHE"] = f"{_user.name}/cache"
os.environ["SAEVAL_CONFIG"] = f"{_user.name}/config"
os.environ.pop("HF_TOKEN", None)

# Annotations hold at run time, shapes included. As for pyright, an int will do for a float.
# (Not by jaxtyping's pytest option, which cannot take several packages and a configured checker.)
install_import_hook(
    ["saeval", "saeval_tasks"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

# Fixture -> the environment variable that names its folder.
_REFERENCES = {"fixtures_dir": "SAEVAL_FIXTURES", "parity_dir": "SAEVAL_PARITY"}


def pytest_unconfigure() -> None:
    """Take this run's caches away."""
    _user.cleanup()


def _reference(fixture: str) -> Path:
    variable = _REFERENCES[fixture]
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} is not set: files written by other libraries are not at hand")
    return Path(folder)


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """Folder of SAEs written by other libraries, with those libraries' outputs."""
    return _reference("fixtures_dir")


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """Folder of a model, SAEs and the figures that SAEBench gave for them."""
    return _reference("parity_dir")


def pytest_runtest_makereport(item: pytest.Function, call: pytest.CallInfo[None]) -> None:
    """Leave a mark, for `.ci/run` to find, once a test with reference files has passed."""
    marks = os.environ.get("SAEVAL_USED")
    if marks and call.when == "call" and call.excinfo is None:
        for fixture in _REFERENCES.keys() & set(item.fixturenames):
            (Path(marks) / fixture.removesuffix("_dir")).touch()
