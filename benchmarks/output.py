"""What every benchmark takes as options, says while it runs, and writes at its end."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def add_arguments(parser: argparse.ArgumentParser, *, quick: str) -> None:
    """Declare what can be chosen for a run; `quick` says what a quick one is."""
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 when a bound is not met (not for CI)"
    )
    add_results(parser)


def add_results(parser: argparse.ArgumentParser) -> None:
    """Declare the folder for what is written."""
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="FOLDER",
        help="where the tables, the JSON and the picture go; default: benchmarks/results",
    )


def say(text: str) -> None:
    """Tell the person who waits, apart from the tables, so that those can be piped."""
    print(text, file=sys.stderr, flush=True)


def publish(folder: Path, name: str, tables: str, figures: Any, picture: str = "") -> None:
    """Print the tables; write them, the figures as JSON, and the picture if there is one."""
    print(tables)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"json": json.dumps(figures, ensure_ascii=False, indent=2), "txt": tables}
    texts |= {"svg": picture} if picture else {}
    for ending, text in texts.items():
        (folder / f"{name}.{ending}").write_text(f"{text.rstrip()}\n", encoding="utf-8")
    say(f"written: {', '.join(f'{name}.{ending}' for ending in texts)}")
