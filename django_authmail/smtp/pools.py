"""Every pool of this process, one for each configuration, and the thread that keeps them warm."""

from __future__ import annotations

import atexit
import logging
import os
import threading

from django_authmail.metrics import set_connections
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.pool import Pool

logger = logging.getLogger(__name__)

#: Seconds between two looks of the keeper.
KEEPER_INTERVAL = 5.0


class _Pools:
    """Every pool of the process, and the thread that keeps them."""

    def __init__(self) -> None:
        # Reentrant: a signal handler may send a mail while this thread is looking for its pool.
        self._lock = threading.RLock()
        self._pools: dict[SmtpConfig, Pool] = {}
        self._keeper: threading.Thread | None = None
        self._stop = threading.Event()

    def pool(self, config: SmtpConfig) -> Pool:
        with self._lock:
            pool = self._pools.get(config)
            if pool is None:
                pool = self._pools[config] = Pool(config)
            pool.touch()
            if self._keeper is None or not self._keeper.is_alive():
                self._start_keeper()
            return pool

    def close(self) -> None:
        with self._lock:
            pools, self._pools = self._pools, {}
            self._stop.set()
            keeper, self._keeper = self._keeper, None
        for pool in pools.values():
            pool.close()
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(1.0)

    def forget(self) -> None:
        for pool in self._pools.values():
            pool.forget()

    def _start_keeper(self) -> None:
        self._stop = threading.Event()
        keeper = threading.Thread(
            target=self._keep, args=(self._stop,), name="authmail-keeper", daemon=True
        )
        try:
            keeper.start()
        except RuntimeError:
            # No thread is left, or the interpreter is shutting down: a mail goes out all the same.
            logger.debug("the keeper of warm connections cannot be started")
        else:
            self._keeper = keeper

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(KEEPER_INTERVAL):
            with self._lock:
                pools = list(self._pools.values())
            for pool in pools:
                try:
                    pool.maintain()
                except Exception:
                    # Without its keeper, every pool of the process would go cold.
                    logger.exception("email.pool_keeper_error")
            counts = [pool.connections for pool in pools]
            set_connections(idle=sum(i for i, _ in counts), lent=sum(n for _, n in counts))
            with self._lock:
                # Under the lock that lends pools: none is dropped that has just been asked for.
                self._pools = {c: pool for c, pool in self._pools.items() if not pool.is_cold}
                if not self._pools and not stop.is_set():
                    self._keeper = None
                    return


_pools = _Pools()


def pool_for(config: SmtpConfig) -> Pool:
    """Return this process's pool for a configuration; equal configurations share one."""
    return _pools.pool(config)


def close_all() -> None:
    """Close every idle connection of the process. Later mails open new ones."""
    _pools.close()


def _after_fork() -> None:
    # Two processes on one TLS stream would garble it: the child starts with nothing.
    global _pools
    parent, _pools = _pools, _Pools()
    parent.forget()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
