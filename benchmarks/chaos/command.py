"""`benchmarks/run.py chaos`: the same storm over this package and its peers."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import output
from benchmarks.peers import PACKAGES, make_environment
from benchmarks.tables import table
from tests.chaos.ledger import takings
from tests.chaos.processes import wait_until
from tests.chaos.servers import PostgreSQL
from tests.chaos.storm import Scenario, Storm, brewing

#: A peer that has sent nothing for so long has stopped.
STILL_SECONDS = 30.0

TITLES = {
    "ours": "ours: authmail_dispatch",
    "post-office": "django-post-office, 3 retries",
    "mailer": "django-mailer, without its lock file",
    "mailer-default": "django-mailer, by default",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the mails of one storm."""

    promised: int
    kills: int
    missing: int
    #: Those of them whose row says that two attempts are in doubt; None: not asked.
    in_doubt: int | None = None
    #: Mails that were taken more than once, and how many copies that makes.
    twice: int
    copies: int
    #: Copies that no receiver can tell to be one: their Message-ID is another.
    foreign: int
    #: Rows that still wait when nothing more happens.
    waiting: int


class PeerStorm(Storm):
    """A storm over somebody else: it may stop half way, and nothing is said of its rows."""

    patience = STILL_SECONDS

    def outcome(self, mails: int, kills: int) -> Outcome:
        """Go through it, and count."""
        try:
            self.break_things(mails, kills)
        except TimeoutError as error:
            self.note(f"it has stopped: {error}")
        self._wait_until_still()
        return counted(self, self.ask("open_rows"))

    def _wait_until_still(self) -> None:
        seen, since = self.ledger.mails, time.monotonic()

        def is_still() -> bool:
            nonlocal seen, since
            if (entries := len(self.ledger.read())) != seen:
                seen, since = entries, time.monotonic()
            return not self.ask("open_rows") or time.monotonic() - since > STILL_SECONDS

        wait_until(is_still, "an end")


def counted(storm: Storm, waiting: int) -> Outcome:
    """Count by the ledger what became of a storm's mails."""
    taken = takings(storm.ledger.read())
    several = [copies for copies in taken.values() if len(copies) > 1]
    return Outcome(
        promised=len(storm.promised),
        kills=storm.kills,
        missing=len(storm.promised.keys() - taken.keys()),
        twice=len(several),
        copies=sum(len(copies) - 1 for copies in several),
        foreign=sum(len({one.message_id for one in copies}) - 1 for copies in several),
        waiting=waiting,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen for a run."""
    parser.add_argument("--seed", default=uuid.uuid4().hex[:8], help="of a storm to see again")
    parser.add_argument("--mails", type=int, default=500)
    parser.add_argument("--kills", type=int, default=12)
    output.add_results(parser)


def run(options: argparse.Namespace) -> int:
    """Go through the storms, print, write; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="authmail-benchmark-"))
    folder.chmod(0o755)
    found: dict[str, Outcome] = {}
    try:
        python = make_environment(folder)
        for way, title in TITLES.items():
            output.say(f"{title}: seed {options.seed} ...")
            found[way] = _outcome(way, python, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures = {"seed": options.seed, "peers": PACKAGES[:2]}
    figures |= {way: asdict(one) for way, one in found.items()}
    output.publish(options.results, "chaos", _as_text(found, options.seed), figures)
    return int(found["ours"].missing != found["ours"].in_doubt)


def _outcome(way: str, python: str, options: argparse.Namespace) -> Outcome:
    evidence = Path(tempfile.mkdtemp(prefix=f"authmail-chaos-{way}-"))
    if way == "ours":
        scenario = Scenario(
            name=way,
            database=PostgreSQL,
            hosts=["a"],
            in_hand=4,
            commands=[("-m", "django", "authmail_dispatch")],
        )
        with brewing(Storm, scenario, seed=options.seed, evidence=evidence) as storm:
            verdict = storm.rage(options.mails, options.kills)
            if verdict.problems:
                raise RuntimeError("\n".join(verdict.problems))
            return replace(counted(storm, 0), in_doubt=len(verdict.given_up))
    module = ("-m", "benchmarks.chaos.peer", way)
    scenario = Scenario(
        name=way,
        database=PostgreSQL,
        hosts=["a"],
        python=python,
        agent=(*module, "agent"),
        commands=[(*module, "work")],
    )
    with brewing(PeerStorm, scenario, seed=options.seed, evidence=evidence) as peer:
        return peer.outcome(options.mails, options.kills)


def _as_text(found: dict[str, Outcome], seed: str) -> str:
    mails = found["ours"].promised
    return "\n".join(
        [
            f"One worker on PostgreSQL, {mails} mails, seed {seed}; killed again and again, the "
            "mail server and the database restarted,",
            "5 % of the connections ended before and 5 % after the final dot",
            table(
                (
                    "",
                    "kill -9",
                    "missing",
                    "marked so",
                    "twice",
                    "copies",
                    "other Message-ID",
                    "waiting",
                ),
                [
                    (
                        TITLES[way],
                        str(one.kills),
                        str(one.missing),
                        "-" if one.in_doubt is None else str(one.in_doubt),
                        str(one.twice),
                        str(one.copies),
                        str(one.foreign),
                        str(one.waiting),
                    )
                    for way, one in found.items()
                ],
            ),
        ]
    )
