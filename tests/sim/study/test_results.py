"""The figures: means, peaks and courses of values that change in steps."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tepui.sim.study.picture import blocks, write_svg
from tepui.sim.study.results import BUCKETS, Course, Spell, Track, waits_of


def test_a_mean_is_weighted_by_time_and_a_peak_has_lasted() -> None:
    track = Track(1_000)
    track.set(4, 1_000)
    track.set(1, 2_000)
    track.set(9, 5_000)
    track.set(0, 5_000)
    assert track.mean(6_000) == pytest.approx((4 * 1 + 1 * 3) / 5)
    assert track.peak == 4


def test_a_course_keeps_its_area_however_long_it_is() -> None:
    track = Track(0)
    area = 0.0
    for hour in range(200):
        track.set(hour % 7, hour * 3_600_000)
        area += (hour % 7) * 3_600_000
    end_ms = 200 * 3_600_000
    part_ms, means = track.course(end_ms)
    assert len(means) <= BUCKETS
    lengths = [min(part_ms, end_ms - index * part_ms) for index in range(len(means))]
    assert sum(m * length for m, length in zip(means, lengths, strict=True)) == pytest.approx(area)
    assert sum(lengths) == end_ms


def test_courses_that_began_together_have_the_same_parts() -> None:
    calm, busy = Track(0), Track(0)
    for at_ms in range(0, 1_000_000, 7_000):
        busy.set(at_ms % 5, at_ms)
    assert calm.course(1_000_000)[0] == busy.course(1_000_000)[0]
    assert len(calm.course(1_000_000)[1]) == len(busy.course(1_000_000)[1])


def test_a_spell_counts_what_lasted() -> None:
    spell = Spell()
    for now_ms, is_so in ((0, True), (0, False), (10, True), (20, True), (40, False), (50, True)):
        spell.set(now_ms, is_so=is_so)
    spell.finish(55)
    assert (spell.first_ms, spell.total_ms, spell.longest_ms) == (10, 35, 30)


def test_waits_that_go_on_count_with_their_time_so_far() -> None:
    assert waits_of([], []) is None
    one = waits_of([5], [])
    assert one is not None
    assert (one.p50_ms, one.p90_ms, one.max_ms, one.max_open) == (5, 5, 5, False)
    many = waits_of([1, 2, 3, 4, 5, 6, 7, 8], [20, 30])
    assert many is not None
    assert (many.p50_ms, many.p50_open) == (5, False)
    assert (many.p90_ms, many.p90_open) == (20, True)
    assert (many.max_ms, many.max_open) == (30, True)


def test_blocks_show_whatever_is_there() -> None:
    assert blocks([0.0, 0.001, 0.5, 1.0], 60, 1.0) == " ▁▄█"
    assert len(blocks([1.0] * 240, 60, 1.0)) == 60
    assert blocks([], 60, 1.0) == ""
    assert blocks([0.0], 60, 0.0) == " "


def test_a_picture_is_drawn_of_anything(tmp_path: Path) -> None:
    path = tmp_path / "p.svg"
    lines = {f"<f{n}>": [0.1 * n, 0.5] for n in range(20)}
    for course in (
        Course(part_ms=1_000, used={}, shares={}, waiting={}, running={}),
        Course(part_ms=8_000_000, used=lines, shares=lines, waiting=lines, running=lines),
    ):
        write_svg(course, path)
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
