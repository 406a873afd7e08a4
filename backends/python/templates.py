"""Renders the templates of a package strictly: an undefined name is an error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import jinja2


def render(package: str, template: str, context: Mapping[str, object]) -> str:
    """The text of `templates/TEMPLATE` in `package`."""
    return _environment(package).get_template(template).render(context)


@cache
def _environment(package: str) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
