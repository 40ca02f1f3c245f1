"""Benchmarks: their results, and the document that contains them."""

from pathlib import Path

import pytest

from bench.document import BEGIN, END, PATH, with_section
from bench.home import count_writes
from bench.measure import Result, in_new_process

BENCHMARKS = sorted(
    path.stem for path in Path(PATH).parents[2].glob("bench/*.py") if "def report(" in path.read_text()
)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_has_a_section_with_results(name: str) -> None:
    measured = PATH.read_text().partition(BEGIN.format(name))[2].partition(END.format(name))[0]
    assert f"`scripts/bench {name}`" in measured
    assert "load average" in measured
    assert "| --- |" in measured


@pytest.mark.slow("coordinator.py", "readings.py", "entity.py", "sensor.py", "reader/*", "bench/*")
@pytest.mark.parametrize(("variant", "states"), [("integration", 9), ("baseline", 45)])
def test_benchmark_writes_the_states_of_a_reading(variant: str, states: int) -> None:
    assert states - 2 < in_new_process(count_writes, "typical", variant, readings=120) <= states


def test_measuring_again_replaces_one_section() -> None:
    document = "a\n" + BEGIN.format("x") + "old\n" + END.format("x") + "b\n"
    assert with_section(document, "x", "new\n") == document.replace("old", "new")
    with pytest.raises(ValueError, match="no place for y"):
        with_section(document, "y", "new\n")


def test_median_and_spread_ignore_an_outlier() -> None:
    result = Result([1.0, 1.1, 0.9, 1.0, 50.0])
    assert (result.median, round(result.spread, 6)) == (1.0, 0.1)
    assert result.text(1e3, 1) == "1,000.0 ± 100.0"
