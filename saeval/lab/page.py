"""docs/lab.md and its two plots, written from the manifest: `python -m saeval.lab page`."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from saeval.errors import UsageError
from saeval.evidence import Evidence, summarise_all, units
from saeval.lab import DOCUMENT_PARTS
from saeval.lab.zoo.members import MEMBERS, ORACLE, ZooMember
from saeval.metrics.recovery import cosines, match
from saeval.registry.lab_manifest import WEIGHTS, ManifestRow, read_rows

DOCS = Path(__file__).parents[2] / "docs"
L0_FVU, MCC = "lab/l0-fvu.svg", "lab/mcc.svg"
INTRODUCTION = """\
# The lab

Trained models and SAEs that come with saeval, made from worlds whose truth is known. Every task
runs on them in seconds, with nothing to download, and so every score can be checked against what is
true.

This page is written from `saeval/lab/manifest.json` by `python -m saeval.lab page`. All figures
were measured on held-out data, after the weights were rounded to how they are stored: float16, or
int8 with one scale a latent.

| part | what it is | model | SAEs read |
|---|---|---|---|
"""
PARTS = {
    "world": (
        "English-like documents from a grammar: biographies, reviews, news, facts, questions, "
        "places, hierarchies, spellings, three constructed languages. Every document carries its "
        "labels, every token its concepts, and the entropy is known exactly"
    ),
    "town": (
        "all that the world has, and documents whose labels no single word gives away: booleans, "
        "who did what to whom, comparisons, claims that follow or do not, rare and noisy labels, "
        "shops of four attributes, reports longer than the model's rows"
    ),
    "othello": "random legal Othello games, with the board before every move",
    "synthetic/base": (
        "activations from a planted dictionary of 256 features: Zipf rates, correlations, a "
        "hierarchy with exclusion, noise"
    ),
    "synthetic/overlapping": "the same, where a child's direction is half its parent's",
    "synthetic/superposed": "the same in half as many dimensions, directions closer together",
    "synthetic/noisy": "the same, where a tenth of the variance is noise",
}
AFTER_PARTS = """
Names: `lab/world/topk-16` is the TopK SAE of 16 latents per token, `-s1` a further training seed,
`-at-25` the same SAE after 25 % of its training; `random`, `pca`, `neurons` and `frozen-decoder`
are nulls, there to be beaten; `oracle` knows the truth and stands first wherever truth is scored.
`saeval ls sets` lists what belongs together: seeds, sparsities, architectures, checkpoints.

In the tables below, ± is half the range over training seeds and `dead` the share of latents that
no held-out token activates. [core](tasks/core.md) and [synthetic](tasks/synthetic.md) say what the
other columns are. A CE score is empty where the ablation does not raise the loss.

    saeval run --sae 'lab/world/*' --tasks core
    saeval describe lab/world                  # figures of the model and of its SAEs
    python -m saeval.lab build                 # makes all of it again, or what is missing
"""
TOWN = "town"
ABOUT_TOWN = """\
## The town

`lab/town` is a harder world beside `lab/world`, made by the same generator from more material. It
has every kind of document of the world, and 28 more:

- *Labels that no single word gives away.* The price rose and the buyer was sad; price and mood
  disagree (exclusive or); the woman is the nurse; both have one profession; the hosts scored more;
  the second statement follows from the first; the nurse gave and did not take, in the active and in
  the passive voice. Many such documents close with a sentence that depends on the label ("so ...
  called the trade odd"), so that the model has a reason to work the label out; the texts of its
  probing sets end just before.
- *Rare labels*: eight kinds of caller and six pairs of signs, in 1 % of their documents and less.
- *Noisy labels*: `noisy_topic`, `noisy_agent_gender` and `noisy_price` are wrong in 10, 30 and 20 %
  of documents; the true label stands beside them (`LabelledDocuments.truths`), and test texts have
  true labels alone.
- *Trees of four levels* (poodle, dog, animal, organism): 24 families of siblings, each level in the
  concept table.
- *Correlated pairs*, independent unless a bias is asked for: profession and gender, category and
  rating, topic and continent, price and mood, deed and gender of whom it is done to.
- *Shops* with four independent attributes each: street, ware, owner, season.
- *Minutes*: reports of more than 128 tokens, longer than the rows that the model was trained on.

The probability of a text is exact in every genre, as in the world: a text settles all that it was
drawn from, or what it leaves open is summed over. There are 253 yes/no problems in 50 families, the
same for every seed; what no dense probe reads after any block of the model is not asked:

```python
from saeval.lab.text_worlds import text_world
from saeval.lab.world import World
from saeval.lab.world.biases import Biases
from saeval.lab.town import TOWN

for group in text_world("town").label_sets(train=10, test=5, seed=0):
    print(group.family, group.name, group.train.texts[0], group.train.labels[0])
biased = World(biases=Biases(gender=0.9, mood=0.5), material=TOWN).documents(1000, seed=1)
```

`saeval describe lab/town` says how well its model reads, problem by problem. SAEs read `layers.1`,
the first block after which roles and order can be told, have 512 latents and come at three
sparsities, with three training seeds at the middle one:

    saeval run --sae 'lab/town/*-16' --tasks probing,absorption
"""


def page(rows: Mapping[str, ManifestRow]) -> str:
    """The page as Markdown."""
    lines = [INTRODUCTION.rstrip("\n")]
    for ground, about in PARTS.items():
        if ground == TOWN and f"{TOWN}/model" not in rows:
            continue
        lines.append(
            f"| `lab/{ground}` | {about} | {_model_cell(ground, rows)} "
            f"| {_site_cell(ground, rows)} |"
        )
    lines += [AFTER_PARTS.rstrip("\n"), "", *_model_lines(rows), "", ABOUT_TOWN.rstrip("\n")]
    for ground in PARTS:
        members = _built_members(ground, rows)
        if members:
            lines += ["", f"## SAEs of `lab/{ground}`", "", *_table(members, rows)]
            if ground == TOWN:
                lines += ["", f"![L0 and FVU by architecture]({L0_FVU})"]
            if ground == "synthetic/base":
                lines += ["", f"![MCC by architecture]({MCC})", "", *_mcc_ranking(members)]
    return "\n".join([*lines, ""])


def write_page(docs: Path = DOCS) -> None:
    """Write the page and its plots again. Needs matplotlib, of the extra `docs`.

    Raises:
        UsageError: if the folder or matplotlib is missing.
    """
    if not docs.is_dir():
        raise UsageError(
            f"There is no folder '{docs}': the page belongs to a checkout of saeval, and an "
            "installed package has none. Run this in a checkout."
        )
    if find_spec("matplotlib") is None:
        raise UsageError("The plots take matplotlib: pip install 'saeval[docs]'.")
    rows = read_rows()
    (docs / "lab").mkdir(exist_ok=True)
    (docs / "lab.md").write_text(page(rows), encoding="utf-8")
    _plot_l0_fvu(rows, docs / L0_FVU)
    _plot_mcc(rows, docs / MCC)


def _model_cell(ground: str, rows: Mapping[str, ManifestRow]) -> str:
    row = rows.get(f"{ground}/model")
    return "none" if row is None else f"`lab://{row.name}`, {row.size / 1e6:.1f} MB"


def _site_cell(ground: str, rows: Mapping[str, ManifestRow]) -> str:
    row = rows.get(f"{ground}/model")
    return "the activations" if row is None else f"`{row.figures['site']}`"


def _model_lines(rows: Mapping[str, ManifestRow]) -> list[str]:
    """How good the models are."""
    texts = [_document_model_line(rows[f"{part}/model"]) for part in DOCUMENT_PARTS
             if f"{part}/model" in rows]  # fmt: skip
    othello = rows["othello/model"]
    site = othello.figures["site"]
    board = othello.figures["board_accuracy"][site]["all"]
    untrained = othello.figures["board_accuracy_untrained"][site]["all"]
    games = (
        f"- `lab/othello`: {othello.figures['top1_legal']:.1%} of its first choices are legal, "
        f"{othello.figures['legal_mass']:.3f} of its probability; a linear probe reads "
        f"{board:.3f} of the squares ({untrained:.3f} from the untrained model)."
    )
    return ["## The models", "", *texts, games]


def _document_model_line(row: ManifestRow) -> str:
    """How good a model is that reads documents."""
    figures, site = row.figures, row.figures["site"]
    loss = figures["loss"]["all"]
    answers = ", ".join(
        f"{accuracy['all']:.3f} ({domain})" for domain, accuracy in figures["answers"].items()
    )
    auc = {name: by_layer[site] for name, by_layer in figures["probe_auc"].items()}
    lowest = min(auc, key=lambda name: auc[name])
    return (
        f"- `lab/{row.name.partition('/')[0]}`: loss {loss['loss']:.3f} nats a token, where the "
        f"grammar's own entropy is {loss['entropy']:.3f}; multiple-choice questions answered "
        f"right: {answers}; first letters read by a probe with F1 "
        f"{figures['first_letter_f1'][site]:.3f}; "
        f"probes of labels with AUC {auc[lowest]:.3f} ({lowest}) or more."
    )


def _built_members(ground: str, rows: Mapping[str, ManifestRow]) -> list[ZooMember]:
    """The SAEs of a ground that are built, and the ground's oracle."""
    oracle = ZooMember(ground, ORACLE, 0)
    zoo = [m for m in MEMBERS if m.ground == ground]
    members = zoo if oracle.name in [m.name for m in zoo] else [*zoo, oracle]
    return [m for m in members if m.name in rows]


def _table(members: Sequence[ZooMember], rows: Mapping[str, ManifestRow]) -> list[str]:
    """One line per architecture and sparsity: the mean over seeds, and half their range."""
    names = list(rows[members[0].name].figures)
    lines = [f"| SAE | seeds | {' | '.join(names)} |", "|---|---|" + "---:|" * len(names)]
    for member in members:
        if member.seed:
            continue
        seed_figures = [
            rows[m.name].figures for m in members if (m.method, m.k) == (member.method, member.k)
        ]
        cells = [_spread([figures.get(name) for figures in seed_figures]) for name in names]
        lines.append(f"| `{member.name.removeprefix(member.ground + '/')}` | {len(seed_figures)} | "
                     f"{' | '.join(cells)} |")  # fmt: skip
    return lines


def _mcc_ranking(members: Sequence[ZooMember]) -> list[str]:
    """Architectures of one sparsity and seed by falling MCC, each with its interval over pairs."""
    from saeval.lab.synthetic import synthetic_world
    from saeval.sae.loaders.saeval_format import load

    truth = synthetic_world(members[0].ground.rpartition("/")[2]).dictionary
    k = members[0].k
    evidences = {}
    for member in members:
        if member.k == k and not member.seed:
            cosine = match(cosines(load(WEIGHTS / member.name).W_dec.numpy(), truth)).cosine
            pairs = units("pairs", "pair", {"cosine": cosine})
            evidences[member.method] = Evidence(
                "mcc", pairs, {"num": "cosine"}, "|cosine|", "higher", bounds=(0, 1)
            )
    summaries = dict(zip(evidences, summarise_all(list(evidences.values())), strict=True))
    ranked = sorted(summaries, key=lambda method: -summaries[method].value)
    ranking = ", ".join(
        f"{method} {summaries[method].value:.3f} "
        f"[{summaries[method].ci_low:.3f}, {summaries[method].ci_high:.3f}]"
        for method in ranked
    )
    return [
        (
            f"By MCC at L0 {k}, seed 0, with 95 % intervals over pairs of latents and features: "
            f"{ranking}. Where intervals overlap, the order is not decided."
        )
    ]


def _spread(values: Sequence[float | None]) -> str:
    """Mean, and half the range where there are several values; empty where there is none."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return ""
    mean = f"{np.mean(numbers):.4g}"
    return mean if len(numbers) == 1 else f"{mean} ± {(max(numbers) - min(numbers)) / 2:.2g}"


def _plot_l0_fvu(rows: Mapping[str, ManifestRow], path: Path) -> None:
    """One line per architecture of `lab/town`, one point per sparsity, a cross per null."""
    figure, axes = _axes("latents a token (L0)", "fraction of variance unexplained")
    members = [m for m in MEMBERS if m.ground == TOWN and m.name in rows and not m.seed]
    for method in dict.fromkeys(m.method for m in members):
        of_method = [m for m in members if m.method == method]
        points = sorted((rows[m.name].figures for m in of_method), key=lambda p: p["l0"])
        style = {"marker": "x", "linestyle": ":"} if of_method[0].is_bound else {"marker": "o"}
        axes.plot([p["l0"] for p in points], [p["fvu"] for p in points], label=method, **style)
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(sorted({m.k for m in members}))
    axes.set_title("lab/town: reconstruction by architecture")
    axes.legend(fontsize=8, ncols=2)
    _save_svg(figure, path)


def _plot_mcc(rows: Mapping[str, ManifestRow], path: Path) -> None:
    """One row per architecture of `lab/synthetic/base`, one point per seed."""
    figure, axes = _axes("mean correlation with the planted directions (MCC)", "")
    members = [m for m in MEMBERS if m.ground == "synthetic/base" and m.name in rows]
    if not members:
        return
    k = members[0].k
    members = [m for m in members if m.k == k]
    mcc_by_method: dict[str, list[float]] = {}
    for member in members:
        mcc_by_method.setdefault(member.method, []).append(rows[member.name].figures["mcc"])
    ranked = sorted(mcc_by_method, key=lambda method: float(np.mean(mcc_by_method[method])))
    for height, method in enumerate(ranked):
        axes.plot(mcc_by_method[method], [height] * len(mcc_by_method[method]), "o", alpha=0.7)
    axes.set_yticks(range(len(ranked)), ranked)
    axes.set_xlim(0, 1.02)
    axes.set_title(f"lab/synthetic/base at L0 {k}: directions recovered, one point a seed")
    _save_svg(figure, path)


def _axes(x: str, y: str) -> tuple[Any, Any]:
    """A figure and its axes. Matplotlib is imported here, as nothing else needs it."""
    figure = import_module("matplotlib.figure").Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _save_svg(figure: Any, path: Path) -> None:
    """Write SVG, with a fixed salt and no date: the same bytes for the same figures."""
    import_module("matplotlib").rcParams["svg.hashsalt"] = path.name
    figure.savefig(path, format="svg", metadata={"Date": None})
