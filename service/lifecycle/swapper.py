"""Loads a new artifact beside the one that serves, brings it up to date, and lets it take over at once."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model.artifact import ArtifactError
from service.contract.operation_answers import VersionResponse
from service.engine.engine import Engine
from service.engine.loading import load_artifact
from service.errors import RegistryError, RegistryFull, RegistryUnavailable
from service.index.coarse import BadIndex
from service.lifecycle.current import CurrentVersion, read_current
from service.metrics import Metrics
from service.registry.registry import RegistryRow
from service.settings import Settings

log = logging.getLogger("kindred.swap")

_PAUSE, _PAUSE_MAX = 2.0, 60.0  # seconds until the next try of a version whose registry was away: doubled each time
_SWITCH = 0.0005  # seconds that a thread may compute while another waits for the interpreter; Python's default is 0.005
_NEVER = 10**9  # collections of the middle generation before a full one


class Swapper:
    """Watches the artifact root of `settings` in a thread of its own, and swaps when `current` has changed.

    engine: returns the one that serves, None while there is none. serve: lets another engine serve in its place; once
    it has returned, that one answers whatever comes.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        engine: Callable[[], Engine | None],
        serve: Callable[[Engine], None],
    ) -> None:
        self.refused: VersionResponse.Refused | None = None
        self._settings = settings
        self._metrics = metrics
        self._engine = engine
        self._serve = serve
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kindred-swap")
        self._seen: CurrentVersion | None = None  # at the look before
        self._done: CurrentVersion | None = None  # which serves, or was refused
        self._pause = _PAUSE
        self._not_before = 0.0

    def begin(self, refused: CurrentVersion | None = None) -> None:
        """Start watching. refused: a version that was found unfit already; it is left alone until it changes."""
        self._done = refused
        self._thread.start()

    def stop(self) -> None:
        """Stop watching. Waits for a step of loading that is under way; nothing takes over any more."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._settings.watch):
            try:
                self.look()
            except Exception:
                log.exception("the look at the artifact root failed")

    def look(self) -> None:
        """Swap if there is a new version. It has to look the same twice: somebody may still be copying it."""
        now = read_current(self._settings.artifacts)
        settled, self._seen = now == self._seen, now
        if not settled or now == self._done or time.monotonic() < self._not_before:
            return
        serving = self._engine()
        version = now.folder.name if now.folder is not None else None
        if serving is not None and version == serving.artifact.version:
            self._settle(now, None)
            return
        if now.folder is None:
            self._settle(now, VersionResponse.Refused(version=None, reason=now.reason))
            return
        del serving  # or this frame would keep it alive after its swap
        self._try(now, now.folder)

    def _try(self, now: CurrentVersion, folder: Path) -> None:
        began = time.perf_counter()
        log.info("loading another artifact", extra={"model_version": folder.name})
        try:
            swapped = self._swap(now, folder)
        except (ArtifactError, BadIndex) as error:
            self._settle(now, VersionResponse.Refused(version=folder.name, reason=str(error)))
        except (RegistryUnavailable, RegistryFull, RegistryError) as error:
            self._metrics.observe_swap("failed")
            self._not_before = time.monotonic() + self._pause
            log.warning("the artifact is not loaded yet", extra={"model_version": folder.name, "reason": str(error)})
            self._pause = min(2 * self._pause, _PAUSE_MAX)
        except Exception as error:
            log.exception("loading another artifact failed", extra={"model_version": folder.name})
            self._settle(
                now,
                VersionResponse.Refused(
                    version=folder.name, reason=f"loading failed: {type(error).__name__}, see the log"
                ),
            )
        else:
            if swapped:
                self._metrics.observe_swap("swapped")
                self._settle(now, None)
                log.info(
                    "swapped", extra={"model_version": folder.name, "seconds": round(time.perf_counter() - began, 3)}
                )
            elif not self._ending.is_set():
                self._metrics.observe_swap("overtaken")
                log.info("`current` names another artifact now", extra={"model_version": folder.name})

    def _settle(self, now: CurrentVersion, refused: VersionResponse.Refused | None) -> None:
        """`now` needs nothing more until it changes."""
        self._done, self._pause, self._not_before = now, _PAUSE, 0.0
        self._metrics.report_refused(refused is not None)
        if refused is not None:
            self._metrics.observe_swap("refused")
            log.error("the artifact is refused", extra={"model_version": refused.version, "reason": refused.reason})
        self.refused = refused  # last, so that whatever /version names is in log and metrics already

    def _swap(self, now: CurrentVersion, folder: Path) -> bool:
        """Load a version and let it serve. False where that is no longer wanted. Raises what loading raises."""
        old = self._engine()
        missed: deque[RegistryRow] = deque()  # rows that the old engine publishes and the new one may not have read
        if old is not None:
            old.publisher.listen(missed.extend)  # before the new one reads the registry
        new: Engine | None = None
        try:
            with _unobtrusively():
                began = time.perf_counter()
                artifact = load_artifact(self._settings.model_copy(update={"artifacts": folder}))
                if self._ending.is_set():
                    return False
                new = Engine.start(self._settings, artifact)
                new.started_seconds = time.perf_counter() - began
            if not self._take_over(now, old, new, missed):
                return False
            new = None
        finally:
            if old is not None:
                old.publisher.listen(None)
            if new is not None:
                new.close()
        if old is not None:
            # It writes no more, and its readers need no database.
            old.close()
        return True

    def _take_over(self, now: CurrentVersion, old: Engine | None, new: Engine, missed: deque[RegistryRow]) -> bool:
        def exchange() -> None:
            _catch_up(new, missed)
            self.refused = None  # first, so that no answer calls refused what it comes from
            self._serve(new)

        while not self._ending.is_set():
            _catch_up(new, missed)  # with most rows, before anybody has to wait
            if read_current(self._settings.artifacts) != now:
                return False
            if old is None:
                exchange()
                return True
            try:
                old.hand_over(exchange)
            except RegistryUnavailable:
                log.info("a write keeps the registry; the artifact waits")
            else:
                return True
        return False


def _catch_up(engine: Engine, missed: deque[RegistryRow]) -> None:
    rows = [missed[place] for place in range(len(missed))]
    engine.writer.apply(rows)
    for _ in rows:
        missed.popleft()


@contextmanager
def _unobtrusively() -> Iterator[None]:
    """Load beside an event loop that answers requests.

    The event loop gets the interpreter sooner than Python would give it. And no full collection runs: it would look
    through all that is loaded, and hold every request up for half a second. Reference counts free what is loaded. Some
    70 KB of a closed database's cycles stay behind after a swap; only such a collection would find them.
    """
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(*thresholds[:2], _NEVER)
    sys.setswitchinterval(_SWITCH)
    try:
        yield
        gc.freeze()
    finally:
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
