"""Answer every question, one file each. A question that fails records why and does not stop the others."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml

from tests.hardware import answers, changes, privilege, tokens

QUESTIONS: dict[str, Callable[[], Any]] = {
    "fields": answers.fields,
    "identity": answers.identity,
    "cost": answers.cost,
    "privilege": privilege.compared,
    "changes": changes.under_loads,
    "tokens": tokens.joules_per_token,
    "reopened": answers.reopened,
    "xid": answers.xid,
}


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:] or QUESTIONS:
        began = time.monotonic()
        pynvml.nvmlInit()
        try:
            answer = QUESTIONS[name]()
        except Exception:
            answer = {"failed": traceback.format_exc(limit=4)}
        pynvml.nvmlShutdown()
        (folder / f"{name}.json").write_text(json.dumps(answer, indent=1) + "\n")
        short = json.dumps({k: v for k, v in answer.items() if k != "series"})
        print(f"## {name} ({time.monotonic() - began:.1f} s)\n{short[:2500]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
