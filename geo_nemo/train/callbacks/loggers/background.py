"""A logger in a thread of its own: training hands over a step's numbers and goes on.

A server that is down, slow or silent costs training nothing. What it did not take is kept, up to
`KEPT_STEPS` steps, and given to it when it answers again; that it is down is said once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from geo_nemo.common.counts import plural
from geo_nemo.common.log import logger
from geo_nemo.common.stuck import give_up
from geo_nemo.config import UserError
from geo_nemo.config.plugins import reason
from geo_nemo.train.callbacks.loggers.history import History
from geo_nemo.train.callbacks.loggers.logger import Logger, Outcome
from geo_nemo.train.callbacks.loggers.reasons import may_pass, missing

LOG = logger(__name__)

KEPT_STEPS = 10_000  # some 20 MB
# A new database of MLflow's takes half a minute on a slow disk.
OPEN_SECONDS = 120.0
CLOSE_SECONDS = 30.0
# Before it is tried again, the last one from then on.
WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)

_Action = Callable[[Logger], None]


class Background:
    """Holds a logger and its thread. All methods but `start` and `join` return at once."""

    def __init__(
        self,
        setting: str,
        logger: Logger,
        history: History | None = None,
        tell: Callable[[str], None] = LOG.warning,
    ):
        self.setting = setting
        self._logger = logger
        self._history = history
        self._tell = tell
        self._thread = threading.Thread(target=self._work, name=f"logger {setting}", daemon=True)
        # Shared with the thread, under the condition.
        self._changed = threading.Condition()
        self._actions: deque[_Action] = deque()
        self._lost = 0  # steps that were too many to keep
        self._error: BaseException | None = None  # that ended it
        self._must_open = False
        self._opened = threading.Event()  # or failed to
        self._ends_at: float | None = None
        self._said_down = self._said_up = False

    def start(self, step: int, must_open: bool) -> None:
        """Open the logger, or tell it of a rewind; `step` steps are done.

        must_open: raise `UserError` where it does not open. Otherwise that is said, and training
        goes on without it, or until it does.
        """
        self._add(lambda logger: self._open(logger, step))
        if self._thread.ident is not None:  # it is at work, or has ended by an error
            return
        self._must_open = must_open
        self._thread.start()
        if not self._opened.wait(OPEN_SECONDS):
            late = f"no answer in {OPEN_SECONDS:.0f} s"
            if must_open:
                self._error = TimeoutError(late)
                give_up(self._thread.is_alive)
                raise UserError(f"{self.setting}: {late}; mend that or take the setting out")
            self._say_down(late)
        if must_open and self._error is not None:
            raise self._as_user_error(self._error)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over the numbers of a step."""
        self._add(lambda logger: logger.write(step, values))

    def close(self, outcome: Outcome) -> None:
        """Have the logger closed once it has everything; `join` waits for that."""
        self._add(lambda logger: logger.close(outcome))
        with self._changed:
            self._ends_at = time.monotonic() + CLOSE_SECONDS
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the end of the logger, at most `CLOSE_SECONDS` after `close`."""
        if self._ends_at is None or self._thread.ident is None or self._error is not None:
            return
        self._thread.join(max(self._ends_at - time.monotonic(), 0.1))
        with self._changed:
            left = len(self._actions)
        if self._error is not None or not (left or self._lost):
            return
        give_up(self._thread.is_alive)
        # The last action is the closing, which may be under way.
        steps = max(left - 1, 0) + self._lost
        missing = plural(steps, "logged step is", "logged steps are")
        what = f"{missing} missing there" if steps else "it did not end in time"
        rest = "metrics.jsonl has them all"
        if hasattr(self._logger, "last_told"):
            rest = "the same command sends what it lacks"
        self._tell(f"{self.setting}: {what}; {rest}")

    def _open(self, logger: Logger, step: int) -> None:
        logger.on_start(step)
        self._opened.set()
        last = getattr(logger, "last_told", None)
        if self._history is not None and last is not None:
            for missed, values in self._history.between(last, step):
                logger.write(missed, values)

    def _add(self, action: _Action) -> None:
        with self._changed:
            if self._error is not None:
                return
            self._actions.append(action)
            if len(self._actions) > KEPT_STEPS:
                del self._actions[1]  # the first may be under way, or is to open it
                self._lost += 1
            self._changed.notify_all()

    def _work(self) -> None:
        while (action := self._next()) is not None and self._done(action):
            with self._changed:
                self._actions.popleft()
            self._opened.set()

    def _next(self) -> _Action | None:
        """The next thing to do, once there is one; None: nothing is left, and it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._actions or self._ends_at is not None)
            return self._actions[0] if self._actions else None

    def _done(self, action: _Action) -> bool:
        """Do it, again where what stops it may pass. False: the logger has ended."""
        failures = 0
        while True:
            try:
                action(self._logger)
            except BaseException as error:  # a thread ends by sys.exit() without a word
                opening = self._must_open and not self._opened.is_set()
                if opening or not may_pass(error):
                    self._end(error)
                    return False
                self._say_down(reason(error))
                self._opened.set()
                if not self._paused(WAITS[min(failures, len(WAITS) - 1)]):
                    return False
                failures += 1
            else:
                if failures:
                    self._say_up()
                return True

    def _paused(self, seconds: float) -> bool:
        """Wait; False where the time to close is over."""
        until = time.monotonic() + seconds
        with self._changed:
            while (now := time.monotonic()) < until:
                if self._ends_at is not None:
                    until = min(until, now + WAITS[0])
                    if now >= self._ends_at:
                        return False
                self._changed.wait(until - now)
        return self._ends_at is None or time.monotonic() < self._ends_at

    def _end(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._actions.clear()
        if not (self._must_open and not self._opened.is_set()):  # `start` raises it
            line = str(self._as_user_error(error)) if isinstance(error, UserError) else ""
            failed = line or f"{self.setting} failed ({reason(error)})"
            self._tell(f"{failed}; the run goes on without it")
        self._opened.set()

    def _as_user_error(self, error: BaseException) -> UserError:
        if isinstance(error, UserError):
            return error
        if isinstance(error, ImportError):
            return UserError(missing(self.setting, error))
        return UserError(f"{self.setting}: {reason(error)}; mend that or take the setting out")

    def _say_down(self, why: str) -> None:
        if not self._said_down:
            self._said_down = True
            self._tell(
                f"{self.setting} failed ({why}); the run goes on, and what it lacks is sent later"
            )

    def _say_up(self) -> None:
        if not self._said_up:
            self._said_up = True
            self._tell(f"{self.setting} works again")
