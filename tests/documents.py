"""The generated documents. `make docs` writes them, `tests/unit/test_documents.py` compares them."""

import json
from pathlib import Path

from app import lifecycle
from app.api import frames
from app.config import Settings
from app.main import create_app

DOCS = Path(__file__).parent.parent / "docs"

STATE_MACHINE = """# The life of a message

Drawn from the table in `app/lifecycle.py` by `make docs`. A store makes these transitions and no others; each is one
transaction together with its event. What the words mean is in [ARCHITECTURE](ARCHITECTURE.md#words).

```mermaid
{diagram}
```
"""


def openapi() -> str:
    """The description that the server gives at `/openapi.json`."""
    settings = Settings(_env_file=None, database_url="sqlite:///never-opened.db")
    return json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False) + "\n"


def websocket_schema() -> str:
    """JSON Schema of the frames of `/ws`."""
    return json.dumps(frames.json_schema(), indent=2, ensure_ascii=False) + "\n"


def generated() -> dict[Path, str]:
    """Every generated document and its text."""
    return {
        DOCS / "openapi.json": openapi(),
        DOCS / "websocket.schema.json": websocket_schema(),
        DOCS / "state-machine.md": STATE_MACHINE.format(diagram=lifecycle.as_mermaid()),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, "utf-8")
