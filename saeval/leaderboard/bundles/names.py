"""Names and texts that a submission may bear: they reach file systems, terminals and web pages."""

import re
import unicodedata

OWNER = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}")
"""As GitHub's user names."""
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9_-])?")
"""Of a submission: lower case, so that no two differ in case alone."""
LABEL = re.compile(r"[A-Za-z0-9_.](?:[A-Za-z0-9 _.,:;/@#+=~()\[\]…*-]{0,198}[A-Za-z0-9_.)\]*])?")
"""Of an SAE or a set: no markup, no quotes, and letters that look like no others."""
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Of a task."""
METRIC = re.compile(r"[A-Za-z0-9_.@-]{1,120}")
SUBMISSION = "submission.json"
RESULT = "result.json"
RERUN = "rerun.json"
_FOLDER = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?"
_FILE = rf"(?:{re.escape(RESULT)}|[a-z][a-z0-9_]{{0,63}}\.parquet)"
RESULT_FILE = re.compile(rf"(?P<folder>{_FOLDER}/[a-z][a-z0-9._-]{{0,80}}-[0-9a-f]{{20}})/{_FILE}")
"""Path of a result's file below the folder of results."""
SAFE_FOLDER = re.compile(_FOLDER)
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_PRIVATE = re.compile(
    r"(?:^|[\s'\"`(=:])(?:/(?:home|Users|root|mnt|media|data|scratch|private|tmp|var)/|~/"
    r"|[A-Za-z]:\\|\\\\[A-Za-z])"
)
_ALLOWED_CONTROLS = "\n\t"
_REFUSED = {
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Cs": "half a character",
    "Co": "a character of private use",
    "Cn": "a character that Unicode has not",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}


def owner_fault(owner: object) -> str | None:
    """Why a text cannot be an owner; None if it can."""
    if isinstance(owner, str) and OWNER.fullmatch(owner) and not _RESERVED.fullmatch(owner):
        return None
    return (
        f"the owner is {owner!r}, which is no GitHub user name: letters, digits and single "
        "hyphens, at most 39"
    )


def name_fault(name: object) -> str | None:
    """Why a text cannot name a submission; None if it can."""
    if isinstance(name, str) and NAME.fullmatch(name) and not _RESERVED.fullmatch(name):
        return None
    return (
        f"the name is {name!r}; use lower-case letters, digits, '-', '_' and '.', at most 64, "
        "a letter or digit first"
    )


def label_fault(label: object) -> str | None:
    """Why a text cannot name an SAE or a set; None if it can."""
    if isinstance(label, str) and LABEL.fullmatch(label) and ".." not in label:
        return None
    return f"the name {_shown(label)} has characters that names may not have"


def path_fault(path: str) -> str | None:
    """Why a relative path is not safe on every system; None if it is."""
    if path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", path):
        return f"{_shown(path)} is an absolute path"
    parts = path.split("/")
    if ".." in parts or "." in parts or "" in parts:
        return f"{_shown(path)} leads out of the bundle, or round about within it"
    bad = [part for part in parts if not SAFE_FOLDER.fullmatch(part) or _RESERVED.fullmatch(part)]
    return f"{_shown(path)} is a name that files may not have here" if bad else None


def text_fault(text: str) -> str | None:
    """Which character of a text may not be shown; None if all may. Markup is only text."""
    for character in text:
        what = _REFUSED.get(unicodedata.category(character))
        if what and character not in _ALLOWED_CONTROLS:
            return f"{_shown(text)} has {what}, U+{ord(character):04X}"
    return None


def private_fault(text: str) -> str | None:
    """Whether a text has an absolute path of somebody's machine; None if it has not."""
    return f"{_shown(text)} has a path of one machine" if _PRIVATE.search(text) else None


def _shown(text: object) -> str:
    """A text in ASCII and in short, as messages reach terminals."""
    return ascii(text if not isinstance(text, str) or len(text) <= 80 else f"{text[:77]}...")
