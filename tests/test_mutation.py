"""Tests that mutation testing runs for a changed file."""

from pathlib import Path
import tomllib

from mutation.stages import stages

ROOT = Path(__file__).parents[1]

QUICK = ("-m", "not slow and not server and not weekly")
SLOW = ("-m", "slow and not server and not weekly")


def write_tests(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / f"tests/{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_stages_begin_with_tests_about_the_file(tmp_path: Path) -> None:
    write_tests(
        tmp_path,
        reader__test_sse="",
        test_one="from custom_components.energy_sse.reader.sse import EventStreamDecoder",
        test_two="from custom_components.energy_sse.reader import client, sse",
        test_other="from custom_components.energy_sse.reader.sse_other import sse",
    )
    assert list(stages("reader/sse.py", tmp_path)) == [
        (*QUICK, "tests/reader/test_sse.py", "tests/test_one.py", "tests/test_two.py"),
        (*QUICK, "tests/reader"),
        (*QUICK, "-n", "auto", "tests"),
    ]


def test_last_stages_are_slow_tests_that_name_the_file(tmp_path: Path) -> None:
    write_tests(
        tmp_path,
        test_many='import pytest\npytestmark = [pytest.mark.slow("statistics.py", "power_tariff/*")]',
        test_other='import pytest\npytestmark = pytest.mark.slow("statistics.py")',
        test_year='import pytest\n@pytest.mark.slow("power_tariff/*")\ndef test(): pass',
    )
    assert list(stages("power_tariff/demand.py", tmp_path)) == [
        (*QUICK, "-n", "auto", "tests"),
        (*SLOW, "tests/test_year.py"),
        (*SLOW, "tests/test_many.py"),
    ]


def test_equivalent_mutants_name_files_that_exist() -> None:
    known = tomllib.loads((ROOT / "mutation/equivalent.toml").read_text())["known"]
    files = {each["file"] for each in known}
    missing = {file for file in files if not (ROOT / "custom_components/energy_sse" / file).exists()}
    assert not missing, "mutation/equivalent.toml names files that do not exist"
