"""`benchmarks/run.py outbox`: one run, from starting the database to writing the picture."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import secrets
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import output
from benchmarks.outbox.bounds import Drained, verdicts
from benchmarks.outbox.report import Run, as_json, as_svg, as_text
from benchmarks.peers import PACKAGES, make_environment
from benchmarks.places import databases, ended, scratch
from benchmarks.smtp.processes import USER, Child, system_bundle
from example_project.certificates import ServerCertificate, make_certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    rounds: int
    #: Mails in a round, for each way to send.
    mails: dict[str, int]
    waits: int
    costs: int
    old_rows: int
    #: Mails that are due at once.
    due: int


FULL = Plan(
    rounds=3,
    mails={"ours": 2000, "django": 60, "django-clear": 300, "post-office": 300, "mailer": 60},
    waits=40,
    costs=200,
    old_rows=1_000_000,
    due=100_000,
)
QUICK = Plan(
    rounds=2,
    mails={"ours": 1000, "django": 30, "django-clear": 100, "post-office": 200, "mailer": 30},
    waits=10,
    costs=100,
    old_rows=50_000,
    due=5_000,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen for a run."""
    output.add_arguments(parser, quick="fewer mails and rows: a first look")


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; return the exit status."""
    with scratch() as folder:
        found = _measured(QUICK if options.quick else FULL, folder)
    # A quick run must not replace the figures that the docs show.
    name = "outbox-quick" if options.quick else "outbox"
    output.publish(options.results, name, as_text(found), as_json(found), as_svg(found))
    if found.taken != found.mails:
        output.say("the server did not take what was sent: these figures are void")
        return 1
    return int(options.check and not all(one.is_met for one in found.verdicts))


def _measured(plan: Plan, folder: Path) -> Run:
    started = time.monotonic()
    with ExitStack() as stack:
        output.say("starting a PostgreSQL, a mail server and the peers' environment ...")
        database = stack.enter_context(databases(folder))
        password = secrets.token_hex(12)
        certificate = make_certificate(folder)
        server = stack.enter_context(ended(_mail_server(certificate, password)))
        # Its authority beside the system's, which a project trusts too: they cost time to load.
        bundle = folder / "bundle.pem"
        bundle.write_text(system_bundle() + certificate.ca_file.read_text())
        os.environ["SSL_CERT_FILE"] = str(bundle)
        python = make_environment(folder)

        def account(way: str) -> dict[str, Any]:
            if way == "django-clear":
                return {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": server.ready["all/open"]}
            return {
                "EMAIL_HOST": "127.0.0.1",
                "EMAIL_PORT": server.ready["all/starttls"],
                "EMAIL_USE_TLS": True,
                "EMAIL_HOST_USER": USER,
                "EMAIL_HOST_PASSWORD": password,
            }

        def client(way: str, *arguments: str) -> Child:
            where = json.dumps(database(way))
            peers = way in ("post-office", "mailer")
            child = Child(
                "benchmarks.outbox.client",
                [way, json.dumps(account(way)), where, str(folder), *arguments],
                python=python if peers else sys.executable,
            )
            return stack.enter_context(ended(child))

        clients = {way: client(way) for way in plan.mails}
        drained = _drained(plan, clients)
        ours = clients["ours"]
        output.say(f"commit to start: about {plan.waits * 1.3:.0f} s ...")
        with ended(client("ours", "--serve")):
            waits = _ask(ours, "latency", plan.waits)["result"]
        output.say("one mail without old rows ...")
        _ask(ours, "cost", 20)
        empty = _ask(ours, "cost", plan.costs)["result"]
        output.say(f"adding {plan.old_rows:,} old messages ...")
        _ask(ours, "age", plan.old_rows)
        _ask(ours, "cost", 20)
        aged = _ask(ours, "cost", plan.costs)["result"]
        output.say("deleting the oldest of them ...")
        purged = _ask(ours, "purge")
        output.say(f"queueing {plan.due:,} mails, all due: about {plan.due / 1200:.0f} s ...")
        _ask(ours, "pile", plan.due)
        piled = _ask(ours, "cost", plan.costs)["result"]
        piled["claim one of them"] = _ask(ours, "cost_of_pile", plan.costs)["result"]
        counts = server.ask("stats").values()
        sent = plan.waits + sum((plan.rounds + 1) * mails for mails in plan.mails.values())
        return Run(
            drained=drained,
            waits=waits,
            empty=empty,
            aged=aged,
            old_rows=plan.old_rows,
            piled=piled,
            due=plan.due,
            purged=purged["result"],
            purge_seconds=purged["seconds"],
            verdicts=verdicts(drained, waits, empty, aged, piled),
            postgresql=database.version,
            peers=[name.partition(">")[0].replace("==", " ") for name in PACKAGES[:2]],
            mails=sent,
            taken=sum(one["data"] + one["bdat"] for one in counts),
            seconds=time.monotonic() - started,
            quick=plan is QUICK,
        )


def _drained(plan: Plan, clients: dict[str, Child]) -> dict[str, Drained]:
    """Send with each in turn: what disturbs the machine for a while disturbs all of them."""
    found = {way: Drained() for way in plan.mails}
    numbers = itertools.count(1, 100_000)
    for number in range(plan.rounds + 1):
        output.say(f"round {number} of {plan.rounds} ..." if number else "a round to warm up ...")
        for way in plan.mails if number % 2 else reversed(plan.mails):
            mails = plan.mails[way]
            filled = _ask(clients[way], "fill", next(numbers), mails)
            sent = _ask(clients[way], "drain", mails)
            if number:
                found[way].queued_per_second.append(mails / filled["seconds"])
                found[way].mails_per_second.append(mails / sent["seconds"])
                found[way].cpu.append(sent["cpu"] * 1000 / mails)
    return found


def _ask(child: Child, command: str, *values: object) -> Any:
    return child.ask(json.dumps([command, *values]))


def _mail_server(certificate: ServerCertificate, password: str) -> Child:
    arguments = ["--certificate", str(certificate.certificate_file)]
    arguments += ["--key", str(certificate.key_file), "--user", USER, "--password", password]
    return Child("benchmarks.smtp.server", arguments)
