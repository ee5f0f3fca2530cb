"""Where a model's files are: a local folder, or one commit of a repository at the hub."""

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from saeval.errors import FetchError, ModelError
from saeval.registry.fetch import lab_path
from saeval.registry.hub.cache import is_offline
from saeval.registry.model_names import canonical_name

logger = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SECONDS = 10.0
"""How long to wait for the hub to name a commit before the cache is used."""
_OUT_OF_REACH = {
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectError",
    "ConnectTimeout",
}
"""Names of exceptions that mean that the hub does not answer."""


@dataclass(frozen=True)
class Place:
    """Where transformers loads a model from."""

    name: str
    """As the user wrote it."""
    root: str
    """Folder or hub id."""
    commit: str | None
    """Commit at the hub; None for a folder, and where not even the cache knows one."""
    cached_only: bool
    """Whether only the cache is used, without asking the hub."""

    @property
    def is_local(self) -> bool:
        """Whether the files are in a local folder."""
        return self.commit is None and Path(self.root).is_dir()

    def __str__(self) -> str:
        alias = "" if self.root == self.name else f" (Hugging Face id '{self.root}')"
        return f"'{self.name}'{alias}"


def locate(name: str, revision: str | None) -> Place:
    """A model of the lab, else a local folder, else the commit that the hub or cache has.

    A hub id may carry its revision: `id@revision`.

    Raises:
        ModelError: if none of these has the model, or the hub refuses it.
    """
    if name.startswith(("lab/", "lab://")):
        return Place(name, str(_in_the_lab(name)), None, cached_only=True)
    folder = local_folder(name)
    if folder is not None:
        return Place(name, str(folder), None, cached_only=True)
    if _is_pathlike(name):
        raise ModelError(
            f"There is no folder '{name}'. Give the path of a folder with config.json and "
            "safetensors weights, or a Hugging Face id."
        )
    if revision is None and "@" in name:
        name, _, revision = name.rpartition("@")
    root = canonical_name(name)
    if revision and _COMMIT.fullmatch(revision):
        return Place(name, root, revision, is_offline())
    try:
        return Place(name, root, _commit_at_hub(root, revision), cached_only=False)
    except Exception as error:
        # The type of the errors depends on the version of huggingface_hub.
        commit = _commit_in_cache(root, revision)
        if is_refusal(error) or commit is None:
            raise load_error(Place(name, root, revision, cached_only=True), error) from error
        logger.info("%s: taken from the cache at %s, since %s.", root, commit[:7], error)
        return Place(name, root, commit, cached_only=True)


def local_folder(name: str) -> Path | None:
    """The user's own folder that a model's name means; None where it means the lab's or a hub's."""
    folder = Path(name).expanduser()
    names_folder = _is_pathlike(name) or (folder / "config.json").is_file()
    is_lab = name.startswith(("lab/", "lab://"))
    return folder if names_folder and not is_lab and folder.is_dir() else None


def _is_pathlike(name: str) -> bool:
    absolute = Path(name).expanduser().is_absolute()
    return name.startswith((".", "~", os.sep)) or name.count("/") > 1 or absolute


def _in_the_lab(name: str) -> Path:
    """Folder of one of the lab's models: `lab/world` and `lab://world/model` are the same."""
    path = name.removeprefix("lab://") if "://" in name else f"{name.removeprefix('lab/')}/model"
    try:
        return lab_path(path.replace("/model/model", "/model"))
    except FetchError as error:
        raise ModelError(str(error)) from error


def load_error(place: Place, error: Exception) -> ModelError:
    """A `ModelError` with cause and advice, from a library's exception and its causes."""
    if isinstance(error, ModelError):
        return error
    links = _causes(error)
    kinds = {type(link).__name__ for link in links}
    text = " ".join(str(link) for link in links)
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    if place.is_local:
        return ModelError(
            f"The folder '{place.root}' holds no model that loads: {reason}. Needed are "
            "config.json and safetensors weights (pickled ones are never read), as written by "
            "save_pretrained."
        )
    if "GatedRepoError" in kinds or "gated repo" in text.lower():
        advice = (
            "is gated. Accept its licence on its page at the hub and log in with `hf auth login` "
            "or set HF_TOKEN; or give a local folder."
        )
    elif "RevisionNotFoundError" in kinds:
        advice = "has no such revision. Give a branch, a tag or a commit."
    elif "RepositoryNotFoundError" in kinds or "HFValidationError" in kinds:
        advice = (
            "is neither a local folder nor a public repository at the hub. Check the spelling; "
            "for a private one log in with `hf auth login`."
        )
    elif "does not appear to have a file named" in text and not is_offline():
        advice = (
            "has no safetensors weights, and pickled weights are never read. Give a revision that "
            "has them, or a folder written by save_pretrained."
        )
    elif is_offline() or kinds & _OUT_OF_REACH:
        advice = (
            "is neither a local folder nor whole in the local cache, and the hub is out of reach"
            f"{' (HF_HUB_OFFLINE is set)' if is_offline() else ''}. Check the name, give a local "
            "folder, or run once where there is a network."
        )
    else:
        advice = f"does not load: {reason}."
    revision = f" at revision '{place.commit}'" if place.commit else ""
    return ModelError(f"The model {place}{revision} {advice}")


def _commit_at_hub(root: str, revision: str | None) -> str:
    from huggingface_hub import HfApi

    commit = HfApi().model_info(root, revision=revision, timeout=_SECONDS).sha
    if commit is None:
        raise ModelError(f"The hub names no commit for '{root}'. Give one as revision.")
    return commit


def _commit_in_cache(root: str, revision: str | None) -> str | None:
    """The commit that the cache saw last under a branch or tag."""
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"models--{root.replace('/', '--')}"
    reference = repository / "refs" / (revision or "main")
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else None


def is_refusal(error: BaseException) -> bool:
    """Whether the hub answered and refused."""
    refusals = {
        "GatedRepoError",
        "RevisionNotFoundError",
        "RepositoryNotFoundError",
        "HFValidationError",
    }
    return isinstance(error, ModelError) or bool(
        refusals & {type(link).__name__ for link in _causes(error)}
    )


def _causes(error: BaseException | None) -> list[BaseException]:
    """An exception, its cause, the cause's cause, and so on."""
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links
