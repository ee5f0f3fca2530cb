"""One batch stands for all: times scale with the tokens, arrays keep their length."""

import numpy as np
import pytest
import tiny_models
from tiny_runs import topk

from saeval.activations import (
    EVERY_TOKEN,
    AtPositions,
    Pooled,
    Store,
    model_source,
    read_acts,
    read_codes,
    read_x,
)
from saeval.models import load_model
from saeval.running.plan import first_batch_source
from saeval.running.plan.first_batch_source import FirstBatchSource, OutOfTime, Stopwatch
from saeval.sae import decode_codes


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny model."""
    return str(tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2")))


def test_one_batch_stands_for_all(gpt2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second a batch is as many seconds as there are batches, loops side by side counted once."""
    clock = [0.0]
    monkeypatch.setattr(first_batch_source.time, "perf_counter", lambda: clock[0])
    source = model_source(
        load_model(gpt2), "layers.1", store=Store(writable=False), batch_tokens=32
    )
    rows = source.tokenize(["w1 " * 15] * 20, name="texts")
    groups = len(rows.groups(32))
    assert groups > 1
    stopwatch = Stopwatch(allowed=100.0)
    sae = topk()
    seen = FirstBatchSource(source, stopwatch)

    def work() -> None:
        clock[0] += 5.0  # before any loop: counts once
        for (batch, codes), final in zip(
            read_codes(seen, sae, rows), seen.final_hidden(rows), strict=True
        ):
            assert decode_codes(sae, codes, batch.x_tokens).shape == batch.y_tokens.shape
            assert seen.splice(rows, batch, batch.y).shape == final.shape
            clock[0] += 1.0

    assert stopwatch.timed(work)[1] == pytest.approx(5.0 + groups)
    assert stopwatch.spent == pytest.approx(6.0)
    assert (seen.total_tokens, seen.sample_tokens) == (
        rows.attention.sum(),
        rows.attention[:2].sum(),
    )
    with pytest.raises(OutOfTime):
        stopwatch.timed(lambda: clock.__setitem__(0, 200.0) or stopwatch.check())


def test_arrays_have_their_full_length(gpt2: str) -> None:
    """What it pools or picks has a row for each text, the first ones as they are."""
    source = model_source(
        load_model(gpt2), "layers.1", store=Store(writable=False), batch_tokens=32
    )
    rows = source.tokenize([f"w{i} w{i + 1} w3" for i in range(30)], name="texts")
    seen, sae = FirstBatchSource(source, Stopwatch(100.0)), topk()
    count = rows.groups(32)[0].stop
    last = rows.attention.sum(1) - 1
    for select in (EVERY_TOKEN, Pooled("mean"), Pooled("max"), AtPositions(last)):
        shown = count if select is not EVERY_TOKEN else int(rows.mask[:count].sum())
        for mine, theirs in (
            (read_x(seen, rows, select), read_x(source, rows, select)),
            (
                read_acts(seen, sae, rows, select).toarray(),
                read_acts(source, sae, rows, select).toarray(),
            ),
        ):
            assert mine.shape == theirs.shape
            np.testing.assert_allclose(mine[:shown], theirs[:shown], atol=1e-5)
            np.testing.assert_array_equal(mine[shown : 2 * shown], mine[:shown])
