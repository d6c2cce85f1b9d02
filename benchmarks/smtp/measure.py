"""Take the time and the CPU of sending mail: variants in turn, in one process."""

from __future__ import annotations

import itertools
import math
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.smtp.variants import Crowd, Variant

#: Numbers the mails, so that no two are the same.
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Samples:
    """What was measured of one variant, in milliseconds for each mail."""

    #: What the caller waits: to the server's 250, and with a new connection of Django's to its 221.
    wall: list[float] = field(default_factory=list)
    #: This process alone, all its threads: rendering, making the message, sending it.
    cpu: list[float] = field(default_factory=list)
    #: The last part of it: what the call costs that sends a message which is there already.
    call_cpu: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return statistics.median(self.wall)

    @property
    def p95(self) -> float:
        # The nearest rank: no value between two that were measured.
        return sorted(self.wall)[math.ceil(0.95 * len(self.wall)) - 1]

    @property
    def cpu_p50(self) -> float:
        return statistics.median(self.cpu)

    @property
    def call_cpu_p50(self) -> float:
        return statistics.median(self.call_cpu)

    @property
    def cpu_mean(self) -> float:
        return statistics.fmean(self.cpu)


@dataclass(frozen=True, slots=True)
class Rate:
    """What several threads reached."""

    mails_per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.mails_per_second)

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu)


def alternate(
    variants: Sequence[Variant], *, seconds: float, rounds: int, least: int = 2
) -> dict[str, Samples]:
    """Send with each variant in turn, until so many rounds or seconds are over.

    What disturbs the machine for a while disturbs all of them. The first mail of each is not
    counted: it opens what is kept open, and loads what is loaded once.
    """
    samples = {variant.key: Samples() for variant in variants}
    for variant in variants:
        variant.prepare(next(_numbers))()
    end = time.monotonic() + seconds
    for number in range(rounds):
        if number >= least and time.monotonic() > end:
            break
        for variant in variants if number % 2 else reversed(variants):
            for _ in range(variant.per_round):
                _measure(variant, samples[variant.key])
    return samples


def _measure(variant: Variant, samples: Samples) -> None:
    cpu_at_first = time.process_time()
    hand_over = variant.prepare(next(_numbers))
    cpu_at_call = time.process_time()
    started = time.perf_counter()
    hand_over()
    ended = time.perf_counter()
    cpu_at_end = time.process_time()
    samples.wall.append((ended - started) * 1000)
    samples.cpu.append((cpu_at_end - cpu_at_first) * 1000)
    samples.call_cpu.append((cpu_at_end - cpu_at_call) * 1000)


def rates(
    crowds: Sequence[Crowd], *, threads: int, seconds: float, rounds: int
) -> tuple[dict[str, Rate], int]:
    """Return the rate of each and how many mails were sent in all."""
    found = {crowd.key: Rate() for crowd in crowds}
    total = 0
    for _, crowd in itertools.product(range(rounds), crowds):
        count, elapsed, cpu, unmeasured = _run(crowd, threads, seconds)
        found[crowd.key].mails_per_second.append(count / elapsed)
        found[crowd.key].cpu.append(cpu * 1000 / count)
        total += count + unmeasured
    return found, total


def _run(crowd: Crowd, threads: int, seconds: float) -> tuple[int, float, float, int]:
    counts, ends = [0] * threads, [0.0] * threads
    errors: list[BaseException] = []
    started = cpu = 0.0

    def start() -> None:
        nonlocal started, cpu
        started, cpu = time.monotonic(), time.process_time()

    # The last thread to arrive calls `start`; then all are let go.
    ready = threading.Barrier(threads, action=start)

    def work(index: int) -> None:
        try:
            with crowd.worker() as send:
                send(next(_numbers))  # opens what is kept open
                ready.wait()
                while time.monotonic() < started + seconds:
                    send(next(_numbers))
                    counts[index] += 1
                ends[index] = time.monotonic()
        except BaseException as error:  # raised again below, in the main thread
            errors.append(error)
            ready.abort()

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return sum(counts), max(ends) - started, time.process_time() - cpu, threads
