"""A folder of notes to ask the docs desk about."""

from pathlib import Path

ALARMS = """\
# Alarms

An alarm is raised when a lamp has been silent for ten minutes.
To silence an alarm, acknowledge it in the console, or mute the lamp for a night.

## Escalation

An alarm that nobody acknowledges within an hour is sent to
the manager on duty by text message.
"""
LAMP = '''\
"""Street lamps."""

LIMIT = 3


class Lamp:
    """A lamp that can be dimmed. It remembers its level."""

    def dim(self, level, *,
            slowly=False):
        """
        Dim the lamp to a level between 0 and 9. Below 0 it is off.

        Use `slowly` to fade.
        """
        # Never dim past the limit that the depot sets.
        self.level = level
'''


def write_notes(place: Path) -> Path:
    """Two files in a folder: one of prose, one of code."""
    (place / "src").mkdir(parents=True)
    (place / "alarms.md").write_text(ALARMS)
    (place / "src" / "lamp.py").write_text(LAMP)
    return place
