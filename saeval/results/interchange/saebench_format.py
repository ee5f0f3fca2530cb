"""The form of SAEBench's result files: evals, categories of metrics, and values that are none."""

from collections.abc import Mapping

HARNESS = "saebench"
PREFIX = "saebench_"
"""Begins the name of a metric under SAEBench's own definition."""
TASK_OF_EVAL = {
    "core": "core",
    "sparse_probing": "probing",
    "absorption_first_letter": "absorption",
    "absorption": "absorption",
}
"""Eval -> the task of saeval that measures the same; any other eval keeps its name."""
EVAL_OF_TASK = {
    "core": "core",
    "probing": "sparse_probing",
    "absorption": "absorption_first_letter",
}
IMPORTED_VERSION = 0
"""Version of the task in imported results: that of no task of saeval."""
MISSING: Mapping[str, str] = {
    "null": "published as null",
    "NaN": "published as NaN",
    "Infinity": "published as Infinity",
    "-Infinity": "published as -Infinity",
    "-1": "published as -1, which stands for no value",
}
"""What a file holds in the place of a number -> the reason why the score has no value."""
USES_MINUS_ONE = ("core", "sparse_probing")
"""Evals that write -1 where they have no value."""
PART_KEYS = ("dataset_name", "first_letter", "letter", "entity_class", "class_name")
"""Keys of a row of details that name a part of the data."""
_CATEGORIES = {
    "model_behavior_preservation": "kl_div_score kl_div_with_ablation kl_div_with_sae",
    "model_performance_preservation": "ce_loss_score ce_loss_with_ablation ce_loss_with_sae "
    "ce_loss_without_sae",
    "reconstruction_quality": "explained_variance explained_variance_legacy mse cossim",
    "shrinkage": "l2_norm_in l2_norm_out l2_ratio relative_reconstruction_bias",
    "sparsity": "l0 l1",
    "token_stats": "total_tokens_eval_reconstruction total_tokens_eval_sparsity_variance",
    "misc_metrics": "freq_over_1_percent freq_over_10_percent normalized_freq_over_1_percent "
    "normalized_freq_over_10_percent average_max_encoder_cosine_sim "
    "average_max_decoder_cosine_sim frac_alive",
}
_OF_CORE = {name: category for category, names in _CATEGORIES.items() for name in names.split()}
_OF_EVAL = {
    "absorption": "mean",
    "absorption_first_letter": "mean",
    "scr": "scr_metrics",
    "tpp": "tpp_metrics",
    "unlearning": "unlearning",
    "ravel": "ravel",
    "autointerp": "autointerp",
}
LOWER_IS_BETTER = ("kl_div_with_sae", "ce_loss_with_sae", "mse", "mean_absorption", "mean_full_abs")
"""Beginnings of names of metrics of which less is better, where no task declares them."""
HIGHER_IS_BETTER = (
    *("kl_div_score", "ce_loss_score", "explained_variance", "cossim", "sae_top_", "scr_metric"),
    *("autointerp_score", "unlearning_score", "disentanglement_score"),
)


def category_of(eval_type: str, metric: str) -> str:
    """The category under which SAEBench files a metric."""
    if eval_type == "core":
        return _OF_CORE.get(metric, "misc_metrics")
    if metric.startswith("llm_"):
        return "llm"
    return _OF_EVAL.get(eval_type, "sae")
