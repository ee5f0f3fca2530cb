"""A maintainer computes a part of a bundle again: it agrees where it is honest, and only there."""

from pathlib import Path

import forgery
import pandas as pd
import pytest
from click.testing import CliRunner

from saeval.cli.app import app
from saeval.errors import UsageError
from saeval.leaderboard.bundles.check import check_bundle
from saeval.running.rerun import rerun


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nobody touched."""
    return forgery.make_board(tmp_path_factory.mktemp("board"))


SAE = f"{forgery.BASE}/topk-8"


def test_an_honest_bundle_comes_out_again(honest: Path) -> None:
    """All units of all tables agree, and the record gives the badge."""
    done = rerun(honest, check_bundle(honest), [SAE], 1.0, seed=3)
    assert done.agrees, done.rows
    assert len(done.results) == 2
    assert all(result.units > 100 and result.deviating == 0 for result in done.results)
    done.write(honest)
    assert check_bundle(honest).badge == "re-run"
    (honest / "rerun.json").unlink()


def test_a_share_of_the_results_is_drawn_by_a_seed(honest: Path) -> None:
    """Half of two is one; another seed draws the other one."""
    report = check_bundle(honest)
    drawn = {rerun(honest, report, [SAE], 0.5, seed=s).results[0].result for s in (0, 1, 2, 3)}
    assert len(drawn) == 2


def _better(table: pd.DataFrame) -> None:
    table["sq_err"] /= 2


def test_evidence_made_up_is_found_by_a_rerun_alone(honest: Path, tmp_path: Path) -> None:
    """Consistent evidence passes as data; computed again, every unit differs."""
    bundle = forgery.copy(honest, tmp_path)
    forgery.change_table(forgery.result(bundle), "rows", _better)
    forgery.rescore(forgery.result(bundle))
    forgery.reseal(bundle)
    report = check_bundle(bundle)
    assert report.faults == ()
    done = rerun(bundle, report, [SAE], 1.0)
    assert not done.agrees
    faults = [result.fault for result in done.results if result.fault]
    assert len(faults) == 1
    assert "units of 'rows' differ" in faults[0]
    done.write(bundle)
    assert check_bundle(bundle).badge == "recomputed"


def test_another_sae_does_not_confirm(honest: Path) -> None:
    """The content must be the one that is stated."""
    report = check_bundle(honest)
    done = rerun(honest, report, [f"{SAE}={forgery.BASE}/relu-8"], 0.5)
    assert "another content" in str(done.results[0].fault)
    with pytest.raises(UsageError, match="has no SAE 'mine'"):
        rerun(honest, report, ["mine=x"], 0.5)
    with pytest.raises(UsageError, match="needs the SAEs"):
        rerun(honest, report, [], 0.5)


def test_files_of_the_submitter_are_not_read(honest: Path, tmp_path: Path) -> None:
    """A setting that names a file is a reason not to compute, whatever lies there."""
    bundle = forgery.copy(honest, tmp_path)
    for folder in bundle.glob("results/*/*"):
        forgery.edit(folder / "result.json", lambda r: r["run"].update(data="./texts.jsonl"))
    forgery.reseal(bundle)
    report = check_bundle(bundle)
    assert report.faults == ()
    with pytest.raises(UsageError, match="a file of the submitter's"):
        rerun(bundle, report, [SAE], 1.0)


def test_validate_reruns_and_records(honest: Path, tmp_path: Path) -> None:
    """From the command line: a line a result, the summary, the record, and the badge."""
    bundle = forgery.copy(honest, tmp_path)
    command = ["validate", str(bundle), "--rerun", "0.5", "--sae", SAE, "--record"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "1 of 1 results came out again" in done.stdout
    again = CliRunner().invoke(app, ["validate", str(bundle)])
    assert "is accepted: re-run." in again.stdout
