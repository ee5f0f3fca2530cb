"""Model names: what TransformerLens and papers call a model -> its Hugging Face id."""

import re

RENAMED = {
    "gpt2": "openai-community/gpt2",
    "gpt2-small": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distillgpt2": "distilbert/distilgpt2",
    "distilgpt2": "distilbert/distilgpt2",
    "gpt-neo-small": "EleutherAI/gpt-neo-125M",
    "gpt-neo-medium": "EleutherAI/gpt-neo-1.3B",
    "gpt-neo-large": "EleutherAI/gpt-neo-2.7B",
    "gpt-j": "EleutherAI/gpt-j-6B",
    "gpt-j-6b": "EleutherAI/gpt-j-6B",
    "gpt-neox": "EleutherAI/gpt-neox-20b",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "mistral-7b-instruct": "mistralai/Mistral-7B-Instruct-v0.1",
    "bert-base-cased": "google-bert/bert-base-cased",
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "bert-large-cased": "google-bert/bert-large-cased",
    "bert-large-uncased": "google-bert/bert-large-uncased",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf",
}
"""Names that differ from the last part of the id."""

_ORGANISATIONS = (
    (r"pythia-.+", "EleutherAI"),
    (r"gpt-(neo|j|neox)-.+", "EleutherAI"),
    (r"(gemma|gemma-2|gemma-3)-\d.*", "google"),
    (r"(llama-3|meta-llama-3).*", "meta-llama"),
    (r"(mistral|mixtral)-.+", "mistralai"),
    (r"qwen.+", "Qwen"),
    (r"opt-.+", "facebook"),
    (r"phi-.+", "microsoft"),
    (r"bloom.*", "bigscience"),
    (r"stablelm.*", "stabilityai"),
    (r"tinystories-.+", "roneneldan"),
)
"""Patterns of names that are the last part of the id in any letter case, and its first part."""

_GEMMA_3 = re.compile(r"(?:google/)?gemma-v?3-(?P<size>\d+[bm])(?P<kind>-pt|-it)?", re.IGNORECASE)
"""Gemma Scope 2 writes v3 for 3, and `-pt` where the hub's id of the smallest has none."""
_TINY_STORIES = re.compile(r"tiny-stories-(?P<rest>.+)", re.IGNORECASE)


def canonical_name(name: str) -> str:
    """Hugging Face id of a model name; a Hugging Face id is returned unchanged.

    The hub ignores the letter case of ids, so `gemma-2-2b` and `Gemma-2-2B` both work.

    Source: the official names and aliases of TransformerLens's `loading_from_pretrained`.
    """
    if gemma_match := _GEMMA_3.fullmatch(name):
        size, kind = gemma_match["size"].lower(), (gemma_match["kind"] or "").lower()
        return f"google/gemma-3-{size}{'' if (size, kind) == ('270m', '-pt') else kind}"
    if "/" in name:
        return name
    renamed = RENAMED.get(name.lower())
    if renamed is not None:
        return renamed
    if tiny_stories := _TINY_STORIES.fullmatch(name):
        return f"roneneldan/TinyStories-{tiny_stories['rest']}"
    for pattern, organisation in _ORGANISATIONS:
        if re.fullmatch(pattern, name, re.IGNORECASE):
            return f"{organisation}/{name}"
    return name
