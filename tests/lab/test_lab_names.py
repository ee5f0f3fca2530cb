"""The lab's models go by name wherever a model is named, and core reads the lab's own text."""

import pytest
import torch
from saeval_tasks.core import Core

from saeval import lab
from saeval.activations import model_source
from saeval.architectures.random import random_topk
from saeval.errors import ModelError
from saeval.models import load_model
from saeval.sae import SAE


def test_a_lab_model_loads_by_either_name() -> None:
    """`lab/world` and `lab://world/model` are one model, and its figures are at hand."""
    short, long = load_model("lab/world"), load_model("lab://world/model")
    assert short.identity == long.identity
    assert short.name == "lab/world"
    assert "layers.1" in lab.describe("world")


def test_an_unknown_lab_model_is_refused_with_the_nearest() -> None:
    """A misspelled part of the lab is named, and so is what it might have been."""
    with pytest.raises(ModelError, match="world"):
        load_model("lab/wrld")


def test_core_reads_the_labs_text_on_the_labs_model() -> None:
    """Without data of the user, core takes the lab's documents and scores a random SAE there."""
    source = model_source(load_model("lab/world"), "layers.1")
    task = Core(rows=8, ce_rows=4)
    prepared = task.prepare(source, 0)
    assert prepared.facts["data"] == "lab/world"
    null: SAE = random_topk(torch.zeros(source.d_in), 256, 16, 0)
    scores = {each.metric: each for each in task.score(null, prepared, source, 0)}
    assert {"fvu", "ce_loss_score"} <= scores.keys()
