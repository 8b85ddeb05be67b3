"""The package of this checkout under the name of the installed package, for an editable installation."""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "app"
__path__ = [str(PACKAGE)]
exec((PACKAGE / "__init__.py").read_text("utf-8"))  # noqa: S102  an import of `app` might find the user's
