"""`benchmarks/run.py smtp`: one run, from starting the server to writing the picture."""

from __future__ import annotations

import argparse
import os
import secrets
import ssl
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import output
from benchmarks.smtp import variants
from benchmarks.smtp.bounds import FAR, NEAR, THREADS, verdicts
from benchmarks.smtp.mail import auth_mail
from benchmarks.smtp.measure import Samples, alternate, rates
from benchmarks.smtp.picture import as_svg
from benchmarks.smtp.processes import Surroundings, surroundings
from benchmarks.smtp.report import Run, as_json, as_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. The seconds bound the rounds; two rounds are made in any case."""

    #: RTT in ms to the longest time for it, in seconds.
    seconds: dict[float, float]
    rounds: int
    crowd_seconds: float
    crowd_rounds: int


FULL = Plan(
    seconds={0.0: 12, 5.0: 15, NEAR: 45, FAR: 40}, rounds=60, crowd_seconds=2.0, crowd_rounds=3
)
QUICK = Plan(seconds={0.0: 2, NEAR: 7, FAR: 7}, rounds=20, crowd_seconds=1.0, crowd_rounds=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen for a run."""
    output.add_arguments(parser, quick="fewer mails, in less than 40 s: for a first look")


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="authmail-benchmark-") as folder:
        found = _measured(QUICK if options.quick else FULL, Path(folder))
    # A quick run must not replace the figures that the docs show.
    name = "smtp-quick" if options.quick else "smtp"
    output.publish(options.results, name, as_text(found), as_json(found), as_svg(found))
    if found.taken != found.sent or found.counts["refusals"]:
        output.say("the server did not take what was sent: these figures are void")
        return 1
    return int(options.check and not all(one.is_met for one in found.verdicts))


def _measured(plan: Plan, folder: Path) -> Run:
    started = time.monotonic()
    rtts = sorted(plan.seconds)
    with surroundings(folder, rtts, secrets.token_hex(12)) as place:
        # What a project has: the authorities of the system. Django's backend has no option for
        # another file, so they and the run's own are the default of this process.
        os.environ["SSL_CERT_FILE"] = str(place.ca_file)
        variants.configure(place, rtts, THREADS)
        loading = _cpu_of_loading_the_authorities()
        titles: dict[str, str] = {}
        latencies: dict[float, dict[str, Samples]] = {}
        for rtt in rtts:
            output.say(f"{rtt:g} ms RTT, one mail at a time: at most {plan.seconds[rtt]:g} s ...")
            with variants.one_by_one(place, rtt) as ways:
                titles = {way.key: way.title for way in ways}
                latencies[rtt] = alternate(ways, seconds=plan.seconds[rtt], rounds=plan.rounds)
        crowds = variants.in_threads(NEAR, THREADS)
        seconds = plan.crowd_seconds * plan.crowd_rounds * len(crowds)
        output.say(f"{NEAR:g} ms RTT, {THREADS} threads: about {seconds:g} s ...")
        reached, sent_by_crowds = rates(
            crowds, threads=THREADS, seconds=plan.crowd_seconds, rounds=plan.crowd_rounds
        )
        return Run(
            titles=titles,
            crowd_titles={crowd.key: crowd.title for crowd in crowds},
            latencies=latencies,
            crowds=reached,
            verdicts=verdicts(latencies, reached),
            mail_octets=len(auth_mail(1).as_bytes()),
            ca_count=place.ca_count,
            ca_loading=loading,
            quick=plan is QUICK,
            seconds=time.monotonic() - started,
            sent=sent_by_crowds + _count(latencies),
            counts=_totals(place),
        )


def _cpu_of_loading_the_authorities() -> float:
    started = time.process_time()
    ssl.create_default_context()
    return (time.process_time() - started) * 1000


def _count(latencies: dict[float, dict[str, Samples]]) -> int:
    return sum(
        len(samples.wall) + 1  # the first one is not measured
        for ways in latencies.values()
        for key, samples in ways.items()
        if key != "path"
    )


def _totals(place: Surroundings) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for counts in place.counts().values():
        totals.update(counts)
    return dict(totals)
