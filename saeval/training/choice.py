"""Names and settings of a training -> its method and recipe, as checked frozen values."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from saeval.config.field_types import conform
from saeval.errors import UsageError, shown, suggestion
from saeval.training import METHODS, Fit, Method, Recipe, Transcoder

TrainingSettings = Mapping[str, Mapping[str, Any]]
"""`recipe` or a method's name -> field -> value."""


def choose_method(name: str, settings: TrainingSettings, *, transcoding: bool) -> Method | Fit:
    """The method of that name, inside a transcoder if it writes at another site than it reads.

    Raises:
        UsageError: if there is none, a setting is invalid, or it cannot be a transcoder.
    """
    if name not in METHODS:
        hint = suggestion(name, METHODS)
        names = "" if hint.startswith(" Known") else f" Known: {', '.join(METHODS)}."
        raise UsageError(f"There is no architecture '{name}'.{hint}{names}")
    if name == Transcoder.name and not transcoding:
        raise UsageError("A transcoder predicts another site than it reads. Give --write-site.")
    if "inner" in settings.get(Transcoder.name, {}):
        raise UsageError(
            "transcoder.inner cannot be set. Give that architecture itself, and --write-site."
        )
    if Transcoder.name in settings and not transcoding:
        raise UsageError(
            f"Settings of '{Transcoder.name}' have nothing to act on where the site that is read "
            "is written. Give --write-site, or leave them away."
        )
    method = _build_checked(METHODS[name], settings.get(name, {}), name)
    if not transcoding or name == Transcoder.name:
        return method
    if isinstance(method, Fit):
        raise UsageError(
            f"'{name}' reconstructs what it reads, so there can be no --write-site. Leave it "
            "away, or choose an architecture with an encoder of its own, such as topk."
        )
    fields = {**settings.get(Transcoder.name, {}), "inner": method}
    return _build_checked(Transcoder, fields, Transcoder.name)


def choose_recipe(values: Mapping[str, Any], settings: TrainingSettings) -> Recipe:
    """The recipe from values of options; settings take precedence.

    Raises:
        UsageError: if a value is invalid.
    """
    fields = {name: value for name, value in values.items() if value is not None}
    return _build_checked(Recipe, {**fields, **settings.get("recipe", {})}, "recipe")


def check_settings(settings: TrainingSettings, name: str) -> None:
    """Check that all settings belong to the recipe or to the method that is trained.

    Raises:
        UsageError: naming the first that does not.
    """
    names = ("recipe", name, Transcoder.name)
    for part, values in settings.items():
        if part not in names:
            raise UsageError(
                f"'{part}' cannot be set when '{name}' is trained.{suggestion(part, names)}"
            )
        if not isinstance(values, Mapping):
            raise UsageError(
                f"Settings of '{part}' must map fields to values, not {shown(values)}."
            )


def parse_settings(texts: Sequence[str]) -> TrainingSettings:
    """Settings from the command line, such as `recipe.warmup=0.05`, with values in YAML.

    Raises:
        UsageError: if one has another form.
    """
    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        part, dot, key = name.strip().partition(".")
        if not (equals and dot and part and key):
            raise UsageError(
                f"'--set {text}': write recipe.field=value or architecture.field=value, such as "
                "recipe.warmup=0.05."
            )
        try:
            settings.setdefault(part, {})[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"'--set {text}': the value is not YAML. {error}") from error
    return settings


def parse_shares(text: str) -> tuple[float, ...]:
    """Shares from the command line, such as `0.1,0.5`.

    Raises:
        UsageError: if they are no numbers.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--snapshots '{text}' must be numbers with commas between them, such as 0.1,0.5."
        ) from error


def _build_checked(kind: Any, values: Mapping[str, Any], name: str) -> Any:
    fields = {item.name for item in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    checked = {}
    for key, value in values.items():
        if key not in fields:
            raise UsageError(f"'{name}' has no field '{key}'.{suggestion(key, fields)}")
        try:
            checked[key] = conform(value, hints[key])
        except ValueError as error:
            raise UsageError(f"{name}.{key} must be {error}, not {shown(value)}.") from error
        if kind is not Recipe:  # which checks its own
            _check_not_negative(checked[key], f"{name}.{key}", positive=key in _POSITIVE)
    return kind(**checked)


_POSITIVE = ("first_k", "initial_l0", "bandwidth")
"""Fields that must be above 0. No number in any other may be below it."""


def _check_not_negative(value: Any, title: str, *, positive: bool) -> None:
    if isinstance(value, int | float) and not (value > 0 if positive else value >= 0):
        low = "above 0" if positive else "at least 0"
        raise UsageError(f"{title} must be {low}, not {value}.")
