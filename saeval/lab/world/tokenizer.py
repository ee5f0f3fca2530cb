"""The world's tokenizer in Hugging Face's form: one token per word, words between blanks."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from saeval.lab.world.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary


def make_tokenizer(vocabulary: Vocabulary, context: int) -> PreTrainedTokenizerFast:
    """A tokenizer that gives the vocabulary's ids, with BOS first by default.

    Args:
        vocabulary: Tokens and their ids.
        context: Most tokens that the model reads, BOS included.
    """
    inner = Tokenizer(WordLevel(dict(vocabulary.ids), unk_token=UNK))
    inner.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    inner.post_processor = TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, vocabulary.ids[BOS])]
    )
    inner.add_special_tokens(list(SPECIALS))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=BOS, eos_token=EOS, pad_token=PAD, unk_token=UNK,
        model_max_length=context, padding_side="right", clean_up_tokenization_spaces=False,
    )  # fmt: skip
