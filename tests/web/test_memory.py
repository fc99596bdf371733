"""Memory is given back after a peak, and not at every breath."""

from __future__ import annotations

from tepui.web.memory import FALL, PEAK_BYTES, Peaks


def test_memory_is_given_back_once_when_a_peak_is_over() -> None:
    peaks = Peaks()
    assert not peaks.held(PEAK_BYTES)
    assert not peaks.held(PEAK_BYTES // FALL + 1)
    assert peaks.held(PEAK_BYTES // FALL)
    assert not peaks.held(0)
    assert not peaks.held(PEAK_BYTES // FALL)


def test_small_peaks_are_left_alone() -> None:
    peaks = Peaks()
    assert not peaks.held(PEAK_BYTES - 1)
    assert not peaks.held(0)
