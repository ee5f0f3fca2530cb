"""Transformers of a few thousand weights, built from configurations, with a tokenizer made here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

WORDS = tuple(f"w{i}" for i in range(60))
VOCABULARY = {"<unk>": 0, "<bos>": 1, "<eos>": 2, "<pad>": 3} | {
    w: i + 4 for i, w in enumerate(WORDS)
}
LAYERS, WIDTH, CONTEXT = 3, 16, 24

_SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
_OPENAI_SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "n_embd": WIDTH,
    "n_layer": LAYERS,
    "n_head": 4,
    "n_positions": CONTEXT,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 4}

CONFIGURATIONS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2Config(**_OPENAI_SIZES),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**_SIZES),
    "llama": lambda: transformers.LlamaConfig(**_SIZES, num_key_value_heads=2),
    "gemma2": lambda: transformers.Gemma2Config(
        **_SIZES, **_GROUPED, sliding_window=4, final_logit_softcapping=2.0
    ),
    "qwen2": lambda: transformers.Qwen2Config(
        **_SIZES,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=4,
        max_window_layers=1,
    ),
    "gptj": lambda: transformers.GPTJConfig(**_OPENAI_SIZES, rotary_dim=4),
    "opt": lambda: transformers.OPTConfig(
        **_SIZES, ffn_dim=32, word_embed_proj_dim=8, do_layer_norm_before=False
    ),
    "falcon": lambda: transformers.FalconConfig(**_SIZES),
    "cohere": lambda: transformers.CohereConfig(**_SIZES, logit_scale=0.25),
    "granite": lambda: transformers.GraniteConfig(**_SIZES, logits_scaling=5.0),
    "mixtral": lambda: transformers.MixtralConfig(
        **_SIZES, num_key_value_heads=2, num_local_experts=2
    ),
    "phi3": lambda: transformers.Phi3Config(**_SIZES),
    "bert": lambda: transformers.BertConfig(**_SIZES),
    "roberta": lambda: transformers.RobertaConfig(**_SIZES),
}
"""Recipes by name. Windows of 4 tokens make sliding attention matter in rows of 10."""


def build(kind: str, folder: Path) -> Path:
    """Write a model of this kind and its tokenizer into a folder, and give the folder back."""
    torch.manual_seed(0)
    configuration = CONFIGURATIONS[kind]()
    auto = AutoModel if kind in ("bert", "roberta") else AutoModelForCausalLM
    net = auto.from_config(configuration)
    for name, weight in net.named_parameters():
        if weight.ndim == 1:  # biases and gains start as 0 and 1, which would hide mistakes
            torch.nn.init.normal_(weight, 0.5 if "norm" in name or "ln" in name else 0.0, 0.2)
    net.save_pretrained(folder)
    tokenizer(encoder=kind in ("bert", "roberta")).save_pretrained(folder)
    return folder


def tokenizer(*, encoder: bool = False) -> PreTrainedTokenizerFast:
    """One token a word; an encoder's puts CLS before a text and SEP after it."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special: dict[str, Any] = {"bos_token": "<bos>", "eos_token": "<eos>"}
    if encoder:
        special = {"cls_token": "<bos>", "sep_token": "<eos>"}
        made.post_processor = processors.TemplateProcessing(
            single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=CONTEXT,
        **special,
    )
