"""The page: one HTML file that needs nothing else, from a template, its style and its scripts."""

from __future__ import annotations

import hashlib
import shlex
from base64 import b64encode
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from trimtab import __version__
from trimtab.report import payload, recipe, tables
from trimtab.report.study import Study
from trimtab.results.frames import labels

_ASSETS = resources.files(__package__) / "assets"
_SCRIPTS = (
    "dom.js",
    "marks.js",
    "chart.js",
    "filters.js",
    "answer.js",
    "samples.js",
    "page.js",
)


def render(studies: Sequence[Study], roots: Sequence[Path]) -> str:
    """Return the page over some studies.

    Args:
        studies: what to show.
        roots: the folders that they were read from, for the commands it names.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = _asset("style.css")
    # One scope, so that the scripts share names with each other and with nothing else.
    script = "\n".join(["(() => {", '"use strict";', *map(_asset, _SCRIPTS), "})();"])
    return environment.from_string(_asset("page.html.jinja")).render(
        version=__version__,
        studies=studies,
        labels=labels,
        facts=recipe.facts,
        configuration=recipe.configuration,
        columns=tables.number_columns,
        folders=shlex.join(map(str, roots)),
        # The texts are a model's: what is not in these two may not run, nor anything be fetched.
        policy=(
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        style=Markup(style),
        script=Markup(script),
        data=payload.encode(studies),
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
