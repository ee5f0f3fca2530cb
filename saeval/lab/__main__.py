"""`python -m saeval.lab build`: make the lab's weights again, or those that are missing.

`python -m saeval.lab list` writes its registry.yaml, as building does whenever it ends or is
stopped, and `python -m saeval.lab page` docs/lab.md.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from saeval.errors import SaevalError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the builder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m saeval.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", help="build all parts that are not there yet")
    command.add_argument("--only", metavar="PART", help="this part and what it needs")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    commands.add_parser("list", help="write the lab's registry.yaml from its manifest")
    commands.add_parser("page", help="write docs/lab.md and its plots (takes matplotlib)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)

    from saeval.lab.build import BuildSettings, build
    from saeval.lab.page import write_page
    from saeval.lab.parts import PARTS
    from saeval.lab.zoo.listing import write_listing

    try:
        if options.command == "build":
            try:
                build(PARTS, BuildSettings(device=options.device), options.only)
            finally:  # list what is built by now, however the build ended
                write_listing()
        elif options.command == "page":
            write_page()
        else:
            write_listing()
    except SaevalError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400  # the message says it all
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
