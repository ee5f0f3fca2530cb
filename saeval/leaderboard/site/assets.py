"""Files that pages load: ours, and the bundles of plotly and DataTables from installed packages.

Nothing of third parties lies in this repository; their files are copied when a site is built.
"""

import re
import shutil
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from saeval.errors import UsageError

OWN = ("site.css", "board.js", "compare.js", "plots.js")
_EXPORTS = re.compile(r"export\s*\{([^}]*)\}\s*;?")
_REMEDY = "Install it with `pip install 'saeval[site]'`"


def check_assets() -> None:
    """Check that the packages are installed whose files a site needs.

    Raises:
        UsageError: naming the extra that brings them.
    """
    if find_spec("itables") is None:
        raise UsageError(
            "A site needs the package itables, which brings the DataTables bundle that sorts and "
            f"filters its tables. {_REMEDY}; tables alone (--out) are built without it."
        )


def write_assets(folder: Path) -> None:
    """Write all that pages load to a folder, made if need be.

    Raises:
        UsageError: if a package is missing, or ships its bundle in another form.
    """
    check_assets()
    folder.mkdir(parents=True, exist_ok=True)
    ours = resources.files("saeval.leaderboard.site") / "static"
    for name in OWN:
        (folder / name).write_bytes((ours / name).read_bytes())
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"
    with resources.as_file(plotly) as path:
        shutil.copyfile(path, folder / "plotly.min.js")
    bundle = resources.files("itables") / "html"
    (folder / "datatables.css").write_bytes((bundle / "dt_bundle.css").read_bytes())
    script = (bundle / "dt_bundle.js").read_text(encoding="utf-8")
    (folder / "datatables.js").write_text(as_script(script), encoding="utf-8")


def as_script(module: str) -> str:
    """The DataTables module as a plain script that sets `window.DataTable`.

    Browsers load no modules from file:// paths.

    Raises:
        UsageError: if it does not export what it is known to export.
    """
    exports = list(_EXPORTS.finditer(module))
    names = [part.split(" as ") for part in exports[-1][1].split(",")] if exports else []
    by_export = {pair[1].strip(): pair[0].strip() for pair in names if len(pair) == 2}
    if len(exports) != 1 or "default" not in by_export:
        raise UsageError(
            "The DataTables bundle of the installed itables has another form than saeval knows. "
            "Install an itables between 2.1 and 3, and report it."
        )
    start, end = exports[0].span()
    body = f"{module[:start]};window.DataTable={by_export['default']};{module[end:]}"
    return f"(() => {{\n{body}\n}})();\n"
