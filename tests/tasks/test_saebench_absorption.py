"""`absorption` under compat saebench: by formula, and against SAEBench's own figures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from core_oracles import values
from saeval_tasks.absorption import saebench
from saeval_tasks.absorption.saebench_probes import Training, fit_probe
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from saeval.activations import Store, model_source
from saeval.evidence import Evidence, Missing
from saeval.models import load_model
from saeval.sae import SAE
from saeval.sae.architectures import ReLU
from saeval.sae.loaders import load_folder

LETTERS, WIDTH, LATENTS = 26, 12, 60


def made_words(words: int = 300) -> saebench.Reference:
    """Random activations with some of the letter in them; usable are A to E."""
    rng = np.random.default_rng(0)
    letter = rng.integers(0, LETTERS, words)
    codes = rng.normal(size=(LETTERS, WIDTH))
    x = (codes[letter] + 0.5 * rng.normal(size=(words, WIDTH))).astype(np.float32)
    is_test = rng.random(words) < 0.4
    f1 = np.where(np.arange(LETTERS) < 5, 0.9, 0.1)
    scored = np.flatnonzero(is_test & (letter < 5))
    weight = (codes + 0.2 * rng.normal(size=codes.shape)).astype(np.float32)
    return saebench.Reference(x, letter, is_test, weight, f1, x[scored], letter[scored])


def made_sae() -> ReLU:
    """A ReLU SAE of random weights and decoder rows that are not of unit length."""
    generator = torch.Generator().manual_seed(1)
    return ReLU(
        torch.randn(WIDTH, LATENTS, generator=generator),
        torch.randn(LATENTS, generator=generator) - 1.5,
        torch.randn(LATENTS, WIDTH, generator=generator),
        torch.randn(WIDTH, generator=generator) / 10,
    )


def test_formulas_of_absorption() -> None:
    """Fraction and full absorption, worked out word by word from the reference's definition."""
    known, sae = made_words(), made_sae()
    acts = sae.encode(torch.from_numpy(known.x_scored)).numpy()
    W_dec = sae.W_dec.numpy()
    seen: dict[str, list[float]] = {"fraction": [], "full": []}
    for letter in range(5):
        main = [letter, 10 + letter]
        u = known.weight[letter] / np.linalg.norm(known.weight[letter])
        cosine = W_dec @ u / np.linalg.norm(W_dec, axis=1)
        fraction, full = [], []
        for f, x in zip(acts, known.x_scored, strict=True):
            p, total = f * cosine, x @ u
            others = [i for i in range(LATENTS) if i not in main]
            absorbing = sorted(p[i] for i in others if cosine[i] >= 0.1 and p[i] > 0)
            absorbing_sum, main_sum = sum(absorbing[-3:]), p[main].sum()
            if main_sum >= total or absorbing_sum / total < 0.4:
                fraction.append(0.0)
            elif main_sum <= 0:
                fraction.append(1.0)
            else:
                a = min(absorbing_sum, total - main_sum)
                fraction.append(min(max(a / (a + main_sum), 0), 1))
            top = max(others, key=lambda i: p[i])
            whole = (f[main] < 1e-8).all() and cosine[top] >= 0.025 and total >= 0
            full.append(float(whole and p[top] / total >= 0.4))
        of_letter = known.letter_scored == letter
        found = saebench._letter_figures(sae, csr_matrix(acts), known, letter, main)
        assert found["fraction"] == pytest.approx(np.mean(np.array(fraction)[of_letter]), abs=1e-6)
        assert found["full"] == pytest.approx(np.mean(np.array(full)[of_letter]))
        assert found["words"] == of_letter.sum()
        seen["fraction"].append(found["fraction"])
        seen["full"].append(found["full"])
    assert max(seen["fraction"]) > 0
    assert max(seen["full"]) > 0


def test_probe_is_trained_as_in_torch() -> None:
    """Weights after 50 epochs are those of torch's own loss, gradient and Adam, sparse or dense."""
    known = made_words(120)
    label = known.letter[:, None] == np.arange(LETTERS)
    how = Training(batch=4096, weight_decay=1e-6, l1=0.01)
    sparse = csr_matrix(np.maximum(known.x, 0))
    found, bias = fit_probe(sparse, label, how, np.random.default_rng(3))
    dense, _ = fit_probe(sparse.toarray(), label, how, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    bound = 1 / np.sqrt(WIDTH)
    first = torch.from_numpy(rng.uniform(-bound, bound, (LETTERS, WIDTH + 1)).astype(np.float32))
    w, b = first[:, :-1].clone().requires_grad_(), first[:, -1].clone().requires_grad_()
    optimiser = torch.optim.Adam([w, b], lr=1e-2, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 1e-3 ** (1 / 50))
    y, positives = torch.from_numpy(label).float(), label.sum(0).clip(1)
    weights = torch.from_numpy((len(label) - label.sum(0)) / positives).float()
    x = torch.from_numpy(sparse.toarray())
    for _ in range(50):
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            x @ w.T + b, y, pos_weight=weights
        )
        (loss + 0.01 * w.abs().sum(1).mean()).backward()
        optimiser.step()
        schedule.step()
    assert found == pytest.approx(w.detach().numpy(), abs=1e-6)
    assert bias == pytest.approx(b.detach().numpy(), abs=1e-6)
    assert dense == pytest.approx(found, abs=1e-6)


def test_few_latents_are_judged_as_by_scikit_learn() -> None:
    """F1 of the balanced logistic probe on k latents is that of scikit-learn's."""
    known = made_words()
    acts = np.maximum(known.x, 0)
    is_letter = known.letter[:, None] == np.arange(5)
    own = np.array([[letter, letter + 1, letter + 5] for letter in range(5)])
    found = saebench.few_latents_f1(acts, own, is_letter, known.is_test)
    expected = []
    for letter in range(5):
        x, y = acts[:, own[letter]], is_letter[:, letter]
        probe = LogisticRegression(class_weight="balanced", max_iter=500)
        probe.fit(x[~known.is_test], y[~known.is_test])
        expected.append(f1_score(y[known.is_test], probe.predict(x[known.is_test])))
    assert found == pytest.approx(expected, abs=1e-9)
    assert max(found) > 0.1


def test_too_few_letters_is_not_applicable() -> None:
    """SAEBench stops where fewer letters are usable than it asks for; the probes are reported."""
    found = list(saebench.score(made_sae(), made_words(), 0, 0.6, 20))
    missing = [one for one in found if isinstance(one, Missing)]
    assert len(missing) == 3
    assert "there are 5" in missing[0].reason
    assert values(found)["saebench_letters_above_min_f1"] == pytest.approx(5)


def test_the_seed_draws_the_sparse_probe() -> None:
    """Equal seeds score the same; another seed starts the SAE's probe elsewhere."""
    known, sae = made_words(), made_sae()
    first, again, other = (values(saebench.score(sae, known, seed, 0.6, 5)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


SEEDS = range(6)
GOLDEN = {
    "saebench_probe_f1": "probe_f1_mean",
    "saebench_letters_above_min_f1": "letters_above_min_f1",
    "saebench_sae_k1_f1": "sae_k1_f1_mean",
    "saebench_mean_absorption_fraction_score": "mean_absorption_fraction_score",
    "saebench_mean_full_absorption_score": "mean_full_absorption_score",
    "saebench_mean_num_split_features": "mean_num_split_features",
}
SPREADS = {
    "fraction": "std_dev_absorption_fraction_score",
    "full": "std_dev_full_absorption_score",
    "split": "std_dev_num_split_features",
}


def figures(sae: SAE, known: saebench.Reference, seed: int) -> dict[str, float]:
    """What SAEBench reports of an SAE, under its own names."""
    scores = list(saebench.score(sae, known, seed, 0.15, 5))
    letters = next(
        one.units.table
        for one in scores
        if isinstance(one, Evidence) and one.units.name == "saebench_letters"
    )
    spreads = {SPREADS[column]: float(letters[column].to_numpy().std(ddof=1)) for column in SPREADS}
    return {GOLDEN[metric]: value for metric, value in values(scores).items()} | spreads


def test_parity_with_saebench(parity_dir: Path, tmp_path: Path) -> None:
    """Means over six seeds differ from SAEBench's over three by no more than both scatter.

    The seeds 0, 1 and 2 alone miss one figure by chance, the number of usable letters: 11.0
    against 8.33, where 2.0 apart are allowed. It depends on the split, as the F1 of many letters
    lies near the bar of 0.15; over the seeds 0 to 26 it is 9.3 (standard deviation 1.3).
    """
    model = load_model(str(parity_dir / "model"))
    source = model_source(model, "blocks.2.hook_resid_post", store=Store(tmp_path))
    golden = json.loads((parity_dir / "golden" / "seeded.json").read_text("utf-8"))["absorption"]
    saes = {name: load_folder(parity_dir / "saes" / "sae_lens" / name) for name in golden}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in golden}
    for seed in SEEDS:
        known = saebench.read(source, model.tokenizer, seed, 0.15)
        for name, sae in saes.items():
            found[name].append(figures(sae, known, seed))
    missed = []
    for name, expected in golden.items():
        assert set(expected) == set(found[name][0])
        for metric, theirs in expected.items():
            ours = np.array([one[metric] for one in found[name]])
            scatter = np.sqrt(theirs["sd"] ** 2 / theirs["n"] + ours.std(ddof=1) ** 2 / len(SEEDS))
            if abs(ours.mean() - theirs["mean"]) > 3 * scatter + 0.02:
                missed.append((name, metric, ours.mean(), theirs["mean"]))
    assert not missed
