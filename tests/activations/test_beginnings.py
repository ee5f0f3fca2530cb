"""Long texts are cut before they are tokenized, and their first tokens are those of the whole."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from saeval.activations import beginnings

WORDS = (
    "the a ferry harbour lamps of market counted passengers aaaa aaa 2024 1234567 it's don't (x) "
    "über naïve 東京都 привет <eos> \n \t -- -> ,, ! ."
).split(" ")


def texts(count: int, words: int) -> list[str]:
    """Texts of words, numbers, punctuation, other scripts, runs of spaces, and very long words."""
    draw = random.Random(0)
    made = []
    for _ in range(count):
        parts = [draw.choice(WORDS) + " " * draw.choice((1, 1, 1, 2, 9)) for _ in range(words)]
        for _ in range(3):
            length = draw.choice((1, 50, 301, 1000))
            parts.insert(draw.randrange(words), draw.choice("a1 東") * length)
        made.append("".join(parts).strip() or "a")
    return [*made, "a" * 5000, "a" * 4999 + " b", "1" * 5001, "x" + " " * 5000 + "y", "東" * 3000]


def _trained(model: Any, trainer: Any, **parts: object) -> PreTrainedTokenizerFast:
    inner = Tokenizer(model)
    for name, part in parts.items():
        setattr(inner, name, part)
    inner.train_from_iterator(texts(20, 200)[:20], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="<eos>")


_SPECIALS = ["<unk>", "<eos>"]


def _without_words() -> PreTrainedTokenizerFast:
    """As Llama's: spaces become pieces, and nothing splits the text, though its pieces do."""
    made = _trained(
        models.BPE(unk_token="<unk>"),
        trainers.BpeTrainer(vocab_size=300, special_tokens=_SPECIALS, show_progress=False),
        pre_tokenizer=pre_tokenizers.Metaspace(),
    )
    inner = made.backend_tokenizer
    inner.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="<eos>")


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte-level BPE": lambda: _trained(
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=_SPECIALS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    ),
    "WordPiece": lambda: _trained(
        models.WordPiece(unk_token="<unk>"),
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=_SPECIALS, show_progress=False),
        normalizer=normalizers.BertNormalizer(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
    ),
    "Unigram": lambda: _trained(
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=200, special_tokens=_SPECIALS, unk_token="<unk>", show_progress=False
        ),
        normalizer=normalizers.NFKC(),
        pre_tokenizer=pre_tokenizers.Metaspace(),
    ),
    "BPE without words": _without_words,
    "pieces over spaces": lambda: _trained(
        models.BPE(unk_token="<unk>"),
        trainers.BpeTrainer(vocab_size=300, special_tokens=_SPECIALS, show_progress=False),
        normalizer=normalizers.Replace(" ", "\u2581"),
    ),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_first_tokens_are_those_of_the_whole(kind: str) -> None:
    """At several numbers of tokens; long ordinary texts are in fact cut where words are parted."""
    tokenizer, whole = TOKENIZERS[kind](), texts(30, 1200)
    expected = tokenizer(whole, add_special_tokens=False)["input_ids"]
    for count in (2, 7, 33, 128):
        cut = beginnings(tokenizer, whole, count)
        assert all(text.startswith(part) for text, part in zip(whole, cut, strict=True))
        found = tokenizer(cut, add_special_tokens=False)["input_ids"]
        assert [ids[:count] for ids in found] == [ids[:count] for ids in expected]
        shorter = sum(len(part) < len(text) for text, part in zip(whole, cut, strict=True))
        assert kind == "pieces over spaces" or shorter > 20
