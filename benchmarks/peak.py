"""Peak memory of this process."""

import resource
import sys


def peak_megabytes() -> float:
    """The most this process ever held, in MB of 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
