"""On lab/world `core` reads documents as the model saw them in training: the loss is its own."""

import numpy as np
import pytest
import torch
from saeval_tasks.core import Core
from transformers import GPTNeoXForCausalLM

from saeval import lab
from saeval.activations import ModelSource, TokenRows, model_source
from saeval.lab.world.part import load_model as load_network
from saeval.models import load_model
from saeval.registry.lab_manifest import WEIGHTS, read_rows
from saeval.task import Prepared

ROWS, CONTEXT = 400, 128


@pytest.fixture(scope="module")
def source() -> ModelSource:
    """The lab's model, at the site of its SAEs."""
    return model_source(load_model("lab/world"), "layers.1")


@pytest.fixture(scope="module")
def prepared(source: ModelSource) -> Prepared:
    """What `core` prepares with some of the rows that it reads by default."""
    return Core(rows=ROWS, ce_rows=ROWS).prepare(source, 0)


@pytest.fixture(scope="module")
def network() -> GPTNeoXForCausalLM:
    """The model by itself, without saeval's own way of running it."""
    return load_network(WEIGHTS / "world" / "model")


@torch.inference_mode()
def token_losses(network: GPTNeoXForCausalLM, rows: TokenRows, eos: int) -> list[torch.Tensor]:
    """Cross-entropy of each token behind BOS; of the document's end too, if the row reaches it."""
    losses = []
    for ids, attention in zip(rows.ids, rows.attention, strict=True):
        document = ids[attention].tolist()
        whole = torch.tensor([document + [eos] * (len(document) < CONTEXT)])
        logits = network(whole).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, whole[0, 1:], reduction="none"))
    return losses


def test_a_row_is_a_document(source: ModelSource, prepared: Prepared) -> None:
    """BOS, then the document from its first token on, and nothing of another; the short first."""
    rows, model = prepared.required_rows, source.model
    texts = list(lab.text("world", documents=ROWS))
    documents = model.tokenizer(texts, add_special_tokens=False)["input_ids"]
    expected = sorted([model.bos_id, *ids][:CONTEXT] for ids in documents)
    found = [ids[is_token].tolist() for ids, is_token in zip(rows.ids, rows.attention, strict=True)]
    assert sorted(found) == expected
    assert [len(ids) for ids in found] == sorted(map(len, expected))
    assert prepared.facts["unit"] == "document"


def test_judged_documents_are_of_any_length(source: ModelSource) -> None:
    """Documents stand by length, yet those whose predictions are judged are no shorter ones."""
    rows = Core(rows=ROWS, ce_rows=ROWS // 2).prepare(source, 0).required_rows
    lengths = rows.mask.sum(1)
    judged, others = lengths[: ROWS // 2], lengths[ROWS // 2 :]
    assert (np.diff(judged) >= 0).all()
    assert (np.diff(others) >= 0).all()
    error = lengths.std() * (4 / ROWS) ** 0.5
    assert abs(judged.mean() - others.mean()) < 4 * error


def test_the_seed_draws_other_documents(source: ModelSource, prepared: Prepared) -> None:
    """Another seed shares hardly a document with the first."""
    other = Core(rows=ROWS, ce_rows=0).prepare(source, 1).required_rows
    documents = [
        {tuple(ids[mask].tolist()) for ids, mask in zip(rows.ids, rows.mask, strict=True)}
        for rows in (prepared.required_rows, other)
    ]
    assert len(documents[0] & documents[1]) < ROWS / 20


def test_the_clean_loss_is_the_models_own(
    source: ModelSource, prepared: Prepared, network: GPTNeoXForCausalLM
) -> None:
    """The loss is that of a plain forward pass, and agrees with the manifest's figure.

    The manifest also counts each document's first token and its end, which `core` leaves out: the
    token before the one is special, and so is the other. With both of them added, its figure lies
    within the interval of a bootstrap over documents.
    """
    eos = source.model.eos_id
    assert eos is not None
    losses = token_losses(network, prepared.required_rows, eos)
    lengths = prepared.required_rows.mask.sum(1)
    inner = [loss[1:length].sum().item() for loss, length in zip(losses, lengths, strict=True)]
    table = prepared.tables["losses"]
    assert table["ce_clean"].to_numpy() == pytest.approx(inner, rel=1e-4, abs=1e-4)
    assert table["ce_positions"].to_numpy() == pytest.approx(lengths - 1)
    sums = np.array([loss.sum().item() for loss in losses])
    counts = np.array([len(loss) for loss in losses])
    draws = np.random.default_rng(0).integers(ROWS, size=(4000, ROWS))
    resampled = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(resampled, [0.005, 0.995])
    figure = read_rows()["world/model"].figures["loss"]["all"]["loss"]
    assert low < figure < high
    assert high - low < 0.25, "too wide to notice rows that begin within a document, 0.3 nats more"


def test_rows_that_begin_within_a_document_cost_the_model(
    source: ModelSource, prepared: Prepared
) -> None:
    """Packed rows, which it never saw, raise its loss by far more than a draw of documents does."""
    packed = Core(rows=60, ce_rows=60, overflow="pack").prepare(source, 0)
    tables = [found.tables["losses"].to_dict("list") for found in (packed, prepared)]
    loss, own_loss = (sum(table["ce_clean"]) / sum(table["ce_positions"]) for table in tables)
    assert packed.facts["unit"] == "row"
    assert loss > own_loss + 0.15
