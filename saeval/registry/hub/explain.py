"""What the hub's errors mean, and what to do about them."""

from typing import Any

from saeval.errors import FetchError
from saeval.registry.entries import Source


def retry_after(error: Any) -> int | None:
    """Seconds that a response 429 or 503 asks to wait; None if the error asks for no wait."""
    if _status(error) not in (429, 503):
        return None
    text = _response(error).headers.get("Retry-After", "")
    return int(text) if text.isdecimal() else None


def is_unreachable(error: Exception) -> bool:
    """Whether the hub did not answer, or answered only that it cannot serve (5xx)."""
    if isinstance(error, FetchError) or (isinstance(error, OSError) and error.errno):
        return False
    status = _status(error)
    return status is None or status >= 500


def error_line(error: Exception) -> str:
    """Class and first line of an error."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(" .:")


def _status(error: Any) -> int | None:
    status = getattr(_response(error), "status_code", None)
    return status if isinstance(status, int) else None


def _response(error: Any) -> Any:
    """The hub's response, or None; older versions of huggingface_hub wrap the error that has it."""
    return getattr(error, "response", None) or getattr(error.__cause__, "response", None)


def user_error(source: Source, commit: str | None, error: Exception) -> FetchError:
    """The error as one that a user can act on: what failed, why, and what to do."""
    from huggingface_hub import constants, errors, get_token

    if isinstance(error, FetchError):
        return error
    page = f"{constants.ENDPOINT}/{source.repository}"
    login = "log in with `hf auth login` or set HF_TOKEN"
    token_note = "The token that was sent was refused" if get_token() else "No token was sent"
    status = _status(error)
    if isinstance(error, errors.GatedRepoError):
        text = f" is gated. Accept its terms at {page}, then {login}. {token_note}."
    elif isinstance(error, errors.RevisionNotFoundError):
        text = f": {page} has no revision '{commit or source.revision or 'main'}'. Check it there."
    elif isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        text = (
            f": there is no repository {page}, or it is private. Check the spelling; if it is "
            f"private, {login}. {token_note}."
        )
    elif status == 429:
        wait = retry_after(error)
        moment = "later" if wait is None else f"in {wait} s"
        text = f": the hub limits how often it is asked. Try again {moment}, or {login}."
    else:
        text = (
            f" could not be downloaded: {error_line(error)}. Nothing incomplete is used. Check the "
            "connection and try again."
        )
    return FetchError(f"{source}{text}")
