"""What can go wrong with an image: one error for callers, one for the steps within."""

from __future__ import annotations

from typing import Final

NO_SPACE: Final = ("No space left on device", "Disk quota exceeded")  # of the kernel, and of tar


class ImageError(Exception):
    """An image could not be had, kept or sent; the text names the image, the step and the rule."""

    def __init__(self, name: str, step: str, rule: str) -> None:
        super().__init__(f"image '{name}': {step}: {rule}")
        self.name = name
        self.step = step
        self.rule = rule


class Fault(Exception):
    """One step did not work. Never leaves this package: `Images` makes an ImageError of it.

    What is `passing` may work when it is done again, after `pause_s` if the other side asked for one.
    `room_bytes` is what has to be free on the disk for it to work, where that is what was amiss.
    """

    def __init__(
        self,
        step: str,
        rule: str,
        *,
        passing: bool = False,
        pause_s: float | None = None,
        room_bytes: int = 0,
    ) -> None:
        super().__init__(f"{step}: {rule}")
        self.step = step
        self.rule = rule
        self.passing = passing
        self.pause_s = pause_s
        self.room_bytes = room_bytes

    @property
    def is_full(self) -> bool:
        """Whether the disk had no room."""
        # Of what tar could not write there are its words alone.
        return self.room_bytes > 0 or any(words in self.rule for words in NO_SPACE)
