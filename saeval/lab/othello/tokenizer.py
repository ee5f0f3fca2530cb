"""Othello moves as words: `d3 c5 d6`, in the usual Hugging Face files."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from saeval.lab.othello.games import BOS, MOVE_NAMES, MOVES

BOS_TOKEN = "<bos>"  # noqa: S105  a token of text, no secret


def move_names() -> list[str]:
    """Name of each token: BOS, then the sixty squares, column letter and row number."""
    return [BOS_TOKEN, *MOVE_NAMES]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word; a word that is no move becomes BOS, which counts nowhere."""
    vocabulary = {name: number for number, name in enumerate(move_names())}
    words = Tokenizer(WordLevel(vocabulary, unk_token=BOS_TOKEN))
    words.pre_tokenizer = WhitespaceSplit()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token=BOS_TOKEN,
        pad_token=BOS_TOKEN,
        unk_token=BOS_TOKEN,
        model_max_length=MOVES,
    )
    if tokenizer.bos_token_id != BOS:
        raise ValueError(f"{BOS_TOKEN} must be token {BOS}, not {tokenizer.bos_token_id}.")
    return tokenizer
