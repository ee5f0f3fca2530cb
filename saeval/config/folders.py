"""Where saeval keeps a user's configuration and cache on this system."""

import os
import sys
from pathlib import Path


def config_folder() -> Path:
    """$SAEVAL_CONFIG, else saeval's folder in the user's configuration folder."""
    if folder := os.environ.get("SAEVAL_CONFIG"):
        return Path(folder).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "saeval"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "saeval"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "saeval"


def cache_folder() -> Path:
    """$SAEVAL_CACHE, else saeval's folder in the user's cache folder."""
    if folder := os.environ.get("SAEVAL_CACHE"):
        return Path(folder).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "saeval"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "saeval" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saeval"
