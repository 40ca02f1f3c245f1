"""List of equivalent mutants."""

from pathlib import Path
import tomllib

ROOT = Path(__file__).parents[1]


def test_equivalent_mutants_name_files_that_exist() -> None:
    known = tomllib.loads((ROOT / "mutation/equivalent.toml").read_text())["known"]
    files = {each["file"] for each in known}
    missing = {file for file in files if not (ROOT / "custom_components/energy_sse" / file).exists()}
    assert not missing, "mutation/equivalent.toml names files that do not exist"
