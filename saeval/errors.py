"""Every error saeval raises on purpose: what is wrong, why, and what to do next."""

import reprlib
from collections.abc import Iterable
from typing import Any


class SaevalError(Exception):
    """Base of all deliberate errors. The message says what, why, and what to do next."""


class UsageError(SaevalError):
    """The request itself is wrong: an unknown name, a bad option, a malformed configuration."""


class RegistryError(SaevalError):
    """A registry file, or an entry in it, is malformed or contradicts itself."""


class FetchError(SaevalError):
    """A source could not be brought to a verified local folder."""


class LoadError(SaevalError):
    """An SAE's files cannot be read as an SAE: unknown, ambiguous, damaged or incomplete."""


class ModelError(SaevalError):
    """A model, its tokenizer, or a site in it cannot be found or used."""


class DataError(SaevalError):
    """Texts, tokens, labels or activations are empty, malformed or too long."""


class TooFewTokens(DataError):
    """Texts do not fill one packed row; more of them would."""


class PreflightError(SaevalError):
    """An SAE and the model it is given do not belong together."""


class ResultError(SaevalError):
    """A result folder cannot be written, or what it holds is damaged."""


class BundleError(SaevalError):
    """A bundle of submitted results is not what it must be, and is not accepted."""


class NotApplicable(SaevalError):
    """A task cannot say anything about this SAE here. An outcome with a reason, not a failure."""


def suggestion(word: str, candidates: Iterable[str]) -> str:
    """` Did you mean 'x' or 'y'?`, or all names where there are few, or nothing."""
    import difflib  # slow to import, and needed only after a mistake

    names = sorted(set(candidates))
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    near += [name for name in names if word in name and name not in near][: 3 - len(near)]
    if near:
        return " Did you mean " + " or ".join(f"'{name}'" for name in near) + "?"
    return f" Known: {', '.join(names)}." if 0 < len(names) <= 12 else ""


class _ShortRepr(reprlib.Repr):
    """A repr in one short line: arrays and tables by type and shape, other objects cut."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = 8
        self.maxstring = self.maxlong = self.maxother = 80

    def repr_instance(self, x: Any, level: int) -> str:
        shape = getattr(x, "shape", None)
        if isinstance(shape, tuple):
            return f"{type(x).__name__} of shape {[*shape]}"
        return " ".join(super().repr_instance(x, level).split())


_SHORT = _ShortRepr()
_MOST_SHOWN = 200
"""Characters of a value in a message."""


def shown(value: Any) -> str:
    """A value of the user's in a message: its repr in one line, and never long."""
    text = _SHORT.repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
