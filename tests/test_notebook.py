"""The notebook of docs runs from top to bottom, as a newcomer would run it."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs/lab.ipynb"


def test_notebook_is_stored_without_outputs() -> None:
    """It holds no output, no execution count, and no path of any machine."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    for cell in json.loads(text)["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    for path in ("/home/", "/root", "/tmp/", "/Users/", "C:\\"):
        assert path not in text


def test_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs; tables, comparisons and plots are shown."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources=resources
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert {"text/html", "application/vnd.plotly.v1+json"} <= kinds
    page = "".join(str(output.get("data", {}).get("text/html", "")) for output in shown)
    assert "(null)" in page
    assert "compared with" in page
    assert "Claim about methods" in page
