"""The tables of the benchmarks: medians, goals, ratios, failed runs, and the comparison."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.compare import compared
from bench.faults import Failed
from bench.machine import machine
from bench.suite import Report
from bench.table import Line, Row, Section, measured, meets, merged, percentile, show


def of_runs(*runs: tuple[float, float]) -> Line:
    """A line of figures and limits."""
    return merged([Row("rate", figure, "/s", "≥ 10", limit, "bare") for figure, limit in runs])


def test_a_line_has_the_median_its_spread_and_the_median_of_the_ratios_of_each_run() -> None:
    line = of_runs((10, 100), (30, 100), (20, 40))

    assert (line.figure, line.figure_min, line.figure_max) == (20, 10, 30)
    assert line.figures == [10, 30, 20]
    assert line.limit == 100
    assert line.ratio == 0.3


def test_a_line_without_a_limit_has_no_ratio() -> None:
    line = merged([Row("memory", 10, "MB")])

    assert line.limit is None
    assert line.ratio is None
    assert line.is_met is None


@pytest.mark.parametrize(
    ("goal", "met", "not_met"),
    [("≥ 3,300", 3_300, 3_299), ("< 1.0", 0.99, 1.0), ("0", 0, 1)],
)
def test_goals_are_met_up_to_their_last_value(goal: str, met: float, not_met: float) -> None:
    assert meets(met, goal) is True
    assert meets(not_met, goal) is False


def test_figures_of_a_failed_run_do_not_count_and_its_faults_are_told() -> None:
    runs = iter([Failed(Counter({"an update was lost": 3})), None, None])

    def one_run() -> list[Row]:
        if failed := next(runs):
            raise failed
        return [Row("rate", 10, "/s")]

    section = measured("launch", "launches", 3, one_run)

    assert section.failures == ["run 1: 3 × an update was lost"]
    assert section.lines[0].figures == [10, 10]


def test_a_bench_whose_runs_all_failed_has_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    def one_run() -> list[Row]:
        raise Failed(Counter({"an update was lost": 1}))

    section = measured("launch", "launches", 2, one_run)
    show([section])

    assert section.lines == []
    assert "FAILED run 2: 1 × an update was lost" in capsys.readouterr().out


def test_the_table_tells_figure_goal_limit_and_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    show([Section("launch", "launches", [of_runs((5, 50), (15, 50), (5, 50))], [])])

    line = capsys.readouterr().out.splitlines()[-1]
    for cell in ("rate", "5.00 /s", "5.00 – 15.0", "≥ 10 ✗", "50.0 bare", "0.10"):
        assert cell in line


def test_two_tables_are_compared_by_what_their_lines_are_called() -> None:
    def report(title: str, *lines: Line) -> Report:
        return Report(machine(), 1, 1.0, [Section("launch", title, list(lines), [])])

    table = compared(
        report("launches; 60 s", of_runs((10, 100))),
        report("launches; 10 s", of_runs((30, 200)), merged([Row("new", 1, "ms")])),
    )

    assert [list(column.cells) for column in table.columns[1:]] == [
        ["10.0 /s"],
        ["30.0 /s"],
        ["+200 %"],
        ["0.10"],
        ["0.15"],
        ["+50 %"],
    ]


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
