"""How long it will take, from how long it has taken."""

import math
from collections.abc import Callable
from datetime import timedelta


class Pace:
    """The mean time of a unit of work, such as a step, over the stretches that are measured.

    What happens between the end of a stretch and the start of the next one, such as compiling or
    reading a checkpoint, is not in it; nor is what an earlier session has done.

    Example:
      >>> now = iter([0.0, 0.0, 8.0, 8.0, 20.0, 21.0])
      >>> pace = Pace(lambda: next(now))
      >>> pace.start(100)  # at 0 s
      >>> pace.reach(104)  # at 8 s
      >>> pace.start(104)  # at 20 s
      >>> pace.left(10)  # at 21 s: 10 units of 2 s, of which 1 s has passed
      19.0
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._units, self._seconds = 0, 0.0
        self._glimpsed = (0, 0.0)  # of the stretch that is not at its end
        self._position, self._since = 0, clock()

    def start(self, position: int) -> None:
        """Begins a stretch after so many units."""
        self._position, self._since = position, self._clock()
        self._glimpsed = (0, 0.0)

    def glimpse(self, position: int) -> None:
        """Measures within a stretch, which tells as long as none has come to its end."""
        self._glimpsed = (position - self._position, self._clock() - self._since)

    def reach(self, position: int) -> None:
        """Ends a stretch, and begins the next one."""
        self._units += position - self._position
        self._seconds += self._clock() - self._since
        self.start(position)

    def left(self, units: int) -> float | None:
        """Seconds from now on for units counted from the stretch's start; None before it is known.

        Args:
          units: 0 or more.
        """
        if not units:
            return 0.0
        done, seconds = (self._units, self._seconds) if self._units else self._glimpsed
        return max(0.0, units * seconds / done - self._clock() + self._since) if done else None


def told(seconds: float | None) -> str:
    """Hours, minutes and seconds, rounded up; a dash for None.

    Example:
      >>> told(3725.2), told(200_000), told(None)
      ('1:02:06', '2 days, 7:33:20', '–')
    """
    return "–" if seconds is None else str(timedelta(seconds=math.ceil(seconds)))
