"""One look at every source at once: what fails is told, and the others go on."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from interlock.discovery.merge import Found, merge
from interlock.discovery.sighting import ScanError, Scanner, Sighting, Survey, Trouble
from interlock.discovery.words import clean

log = logging.getLogger(__name__)

# How soon a look ends that is to be given up.
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Sweep:
    """What all sources together say now."""

    surveys: tuple[Survey, ...]
    found: tuple[Found, ...]

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Everything that could not be looked at."""
        return tuple(trouble for survey in self.surveys for trouble in survey.troubles)

    @property
    def places(self) -> frozenset[str]:
        """Every place where something was seen."""
        return frozenset(place for one in self.found for place in one.places)

    def covers(self, place: str) -> bool:
        """True for a place that was looked at: what is not seen there now is gone."""
        looked_at = any(place.startswith(f"{survey.source}:") for survey in self.surveys)
        return looked_at and not any(place.startswith(one.place) for one in self.troubles)


def sweep(scanners: Sequence[Scanner], stop: threading.Event | None = None) -> Sweep:
    """Let every scanner look, at the same time; raises nothing.

    Who has not answered when `stop` is set has not looked, as far as the answer tells.
    """
    answers: list[Survey | None] = [None] * len(scanners)

    def look(number: int, scanner: Scanner) -> None:
        answers[number] = survey(scanner)

    # Daemons, because a range of the network may take minutes, and nobody waits for it at the end.
    threads = [
        threading.Thread(target=look, args=each, name=f"scan-{each[1].source}", daemon=True)
        for each in enumerate(scanners)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive() and not (stop and stop.is_set()):
            thread.join(POLL_S)
    surveys = tuple(filter(None, answers))
    found = merge(sighting for one in surveys for sighting in one.sightings)
    return Sweep(surveys, tuple(found))


def survey(scanner: Scanner) -> Survey:
    """Let one scanner look. What it raises is a trouble of its whole source.

    One that breaks on what a stranger put in its way must not blind the others.
    """
    sightings: list[Sighting] = []
    troubles: list[Trouble] = []
    try:
        for one in scanner.scan():
            if isinstance(one, Trouble):
                troubles.append(one)
            else:
                sightings.append(one)
    except ScanError as e:
        troubles.append(Trouble(f"{scanner.source}:", clean(e, 500)))
    except Exception as e:
        log.debug("the scanner of %s broke", scanner.source, exc_info=True)
        why = f"{scanner.source}: the scan broke: {type(e).__name__}: {clean(e)}"
        troubles.append(Trouble(f"{scanner.source}:", why))
    return Survey(scanner.source, tuple(sightings), tuple(troubles))
