"""What stores, their validators and their reviewers look at, held to their rules.

hassfest and the HACS action need GitHub, where workflows run them: their rules are here in our own words. The
Marketplace's are run as Home Assistant ships them. test_metadata.py and test_translations.py hold more of
what hassfest reads.
"""

import ast
from collections.abc import Iterator
from io import BytesIO
import json
import logging
from pathlib import Path
import re
import subprocess
import sys
from typing import Any
from urllib.parse import quote
import zipfile

from awesomeversion import AwesomeVersion, AwesomeVersionStrategy
import homeassistant
from homeassistant.const import Platform
from homeassistant.helpers.selector import TextSelector, TextSelectorType
from homeassistant.util.yaml import load_yaml_dict
from PIL import Image, ImageChops
import pytest
import voluptuous as vol

from brand.render import FOLDER, images
from custom_components.energy_sse import config_flow
from custom_components.energy_sse.const import DOMAIN

pytestmark = pytest.mark.slow(
    "*.json", "*.yaml", "*.md", "brand/*", ".github/*", "scripts/release", "custom_components/*.py"
)

ROOT = Path(__file__).parents[1]
INTEGRATION = ROOT / "custom_components" / DOMAIN
MANIFEST: dict[str, Any] = json.loads((INTEGRATION / "manifest.json").read_text())
HACS: dict[str, Any] = json.loads((ROOT / "hacs.json").read_text())
SOURCES = sorted(INTEGRATION.rglob("custom_components/*.py"))
REPOSITORY = "https://github.com/energy-sse/energy_sse"


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    """Yield everything that the integration's code consists of."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def imports() -> Iterator[tuple[Path, str]]:
    """Yield the full names of everything that is imported from elsewhere."""
    for path, node in nodes():
        if isinstance(node, ast.Import):
            yield from ((path, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


# ------------------------------------------------------------------------------------------------- images

IMAGES = images()


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_image_is_the_drawing_rendered(name: str) -> None:
    """Otherwise: scripts/brand."""
    rendered = Image.open(BytesIO(IMAGES[name]))
    stored = Image.open(FOLDER / name)
    assert stored.size == rendered.size
    # Another processor may round a colour to its neighbour.
    for band in ImageChops.difference(stored, rendered).split():
        assert not any(band.histogram()[3:])


def test_no_image_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(IMAGES)


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_image_has_the_size_and_the_transparent_ground_that_home_assistant_asks_for(name: str) -> None:
    image = Image.open(FOLDER / name)
    width, height = image.size
    assert height == (512 if "@2x" in name else 256)
    assert width == height or "logo" in name
    assert image.format == "PNG"
    assert image.getpixel((0, 0)) == (0, 0, 0, 0)
    # Trimmed: the drawing reaches every edge.
    assert image.getbbox() == (0, 0, width, height)


# ----------------------------------------------------------------------------------------------- hassfest


def test_manifest_has_no_key_that_hassfest_does_not_know() -> None:
    known = (
        "domain name after_dependencies bluetooth codeowners config_flow dependencies dhcp disabled"
        " documentation homekit import_executor integration_type iot_class issue_tracker loggers mqtt"
        " preview_features quality_scale requirements single_config_entry ssdp usb version zeroconf"
    )
    assert set(MANIFEST) <= set(known.split())


def test_manifest_says_where_everything_is() -> None:
    assert MANIFEST["documentation"] == REPOSITORY
    assert MANIFEST["issue_tracker"] == f"{REPOSITORY}/issues"
    assert all(re.fullmatch(r"@[\w-]+(/[\w-]+)?", owner) for owner in MANIFEST["codeowners"])
    assert MANIFEST["codeowners"]


def test_manifest_says_what_the_integration_is_in_home_assistants_words() -> None:
    assert MANIFEST["iot_class"] == "local_push"
    # A reader has devices below it.
    assert MANIFEST["integration_type"] == "hub"
    assert re.fullmatch(r"[a-z0-9_]+", MANIFEST["domain"])


def test_version_is_one_that_home_assistant_loads() -> None:
    kinds = ["CALVER", "SEMVER", "SIMPLEVER", "BUILDVER", "PEP440"]
    AwesomeVersion(
        MANIFEST["version"], ensure_strategy=[getattr(AwesomeVersionStrategy, kind) for kind in kinds]
    )


def test_every_announcement_is_matched_in_the_form_that_hassfest_asks_for() -> None:
    for matcher in MANIFEST["zeroconf"]:
        service = matcher if isinstance(matcher, str) else matcher["type"]
        assert service.endswith("._tcp.local.")
        # The type of every web server has to be narrowed down.
        assert service != "_http._tcp.local." or matcher["name"].islower()
    for matcher in MANIFEST["dhcp"]:
        assert set(matcher) <= {"macaddress", "hostname", "registered_devices"}
        assert matcher.get("hostname", "") == matcher.get("hostname", "").lower()
    assert "async_set_unique_id" in (INTEGRATION / "config_flow.py").read_text()


def test_every_component_that_is_used_is_one_that_may_be() -> None:
    needed = {name.split(".")[2] for _, name in imports() if name.startswith("homeassistant.components.")}
    needed -= {"homeassistant"}
    declared = {*MANIFEST.get("dependencies", ()), *MANIFEST.get("after_dependencies", ())}
    own_files = {path.stem for path in SOURCES if path.parent == INTEGRATION}
    discovery = {"zeroconf", "dhcp"} & set(MANIFEST)
    assert needed <= {*Platform, *declared, *own_files, *discovery}


# --------------------------------------------------------------------------------- HACS and the Marketplace


def test_hacs_json_has_no_key_that_hacs_does_not_know() -> None:
    known = (
        "name content_in_root country filename hacs hide_default_branch homeassistant persistent_directory"
        " render_readme zip_release"
    )
    assert set(HACS) <= set(known.split())
    assert HACS["name"] == MANIFEST["name"]


def test_the_archive_of_the_release_is_what_is_installed() -> None:
    assert HACS["zip_release"]
    assert HACS["filename"] == "energy_sse.zip"
    # Without a release there is nothing to install.
    assert HACS["hide_default_branch"]


def test_repository_holds_this_integration_alone() -> None:
    folders = [path.name for path in (ROOT / "custom_components").iterdir() if path.is_dir()]
    assert [name for name in folders if not name.startswith("__")] == [DOMAIN]


def test_domain_and_name_are_nobody_elses_in_home_assistant() -> None:
    components = Path(homeassistant.__file__).parent / "components"
    assert not (components / DOMAIN).exists()
    names = {json.loads(path.read_text()).get("name") for path in components.glob("*/manifest.json")}
    assert MANIFEST["name"] not in names


def test_licence_is_the_one_that_the_readme_names() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert "Licence: [MIT](LICENSE)" in (ROOT / "README.md").read_text()


def test_marketplace_accepts_what_it_reads(caplog: pytest.LogCaptureFixture) -> None:
    base = pytest.importorskip("homeassistant.components.marketplace.repositories.base")
    validate = pytest.importorskip("homeassistant.components.marketplace.utils.validate")
    with caplog.at_level(logging.WARNING):
        read = base.RepositoryManifest.from_dict(HACS)
    assert not caplog.records, "it says what it ignores"
    assert read.manifest == HACS
    for key, validator in validate.INTEGRATION_MANIFEST_VALUES.items():
        assert validator(MANIFEST[key]) == MANIFEST[key]
    assert validate.VALID_DOMAIN.match(MANIFEST["domain"])
    assert validate.is_valid_ref(MANIFEST["version"])


def test_marketplace_accepts_how_a_catalog_would_list_it() -> None:
    validate = pytest.importorskip("homeassistant.components.marketplace.utils.validate")
    listed = {
        "description": "Meter readers that push",
        "domain": DOMAIN,
        "etag_repository": "1",
        "full_name": REPOSITORY.removeprefix("https://github.com/"),
        "last_fetched": 1,
        "last_updated": "2026-11-21T00:00:00Z",
        "last_version": MANIFEST["version"],
        "manifest": {"name": HACS["name"]},
        "manifest_name": MANIFEST["name"],
    }
    assert validate.VALIDATE_FETCHED_V2_REPO_DATA["integration"](listed) == listed


# --------------------------------------------------------------------------------------------- the archive


def release(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/release"), version, "--folder", str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def archive(tmp_path: Path) -> zipfile.ZipFile:
    """Return the archive of a release of the version that the manifest has."""
    made = release(tmp_path, MANIFEST["version"])
    assert made.returncode == 0, made.stderr
    return zipfile.ZipFile(tmp_path / "energy_sse.zip")


def test_release_is_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert release(tmp_path / name, MANIFEST["version"]).returncode == 0
        for path in INTEGRATION.rglob("*.json"):
            path.touch()
    one, two = ((tmp_path / name / "energy_sse.zip").read_bytes() for name in ("one", "two"))
    assert one == two


def test_release_holds_the_integration_and_nothing_else(archive: zipfile.ZipFile) -> None:
    kept = {".json", ".png", ".py", ".yaml", ".typed"}
    expected = {
        path.relative_to(INTEGRATION).as_posix()
        for path in INTEGRATION.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(archive.namelist()) == expected
    assert {Path(name).suffix or Path(name).name for name in archive.namelist()} <= {*kept, "py.typed"}
    for name in set(archive.namelist()) - {"manifest.json"}:
        assert archive.read(name) == (INTEGRATION / name).read_bytes()


def test_release_is_of_the_version_of_its_tag(tmp_path: Path) -> None:
    version = f"{MANIFEST['version']}b7"
    assert release(tmp_path, version).returncode == 0
    released = json.loads(zipfile.ZipFile(tmp_path / "energy_sse.zip").read("manifest.json"))
    assert released == {**MANIFEST, "version": version}
    assert list(released) == list(MANIFEST)


def test_release_is_one_that_the_marketplace_unpacks_and_loads(
    archive: zipfile.ZipFile, tmp_path: Path
) -> None:
    base = pytest.importorskip("homeassistant.components.marketplace.repositories.base")
    integration = pytest.importorskip("homeassistant.components.marketplace.repositories.integration")
    base._check_archive_size(archive)  # noqa: SLF001 (the Marketplace's own rule)
    folder = tmp_path / DOMAIN
    archive.extractall(folder)
    integration._check_loadable_manifest(folder, DOMAIN)  # noqa: SLF001 (the Marketplace's own rule)


@pytest.mark.parametrize(
    ("version", "reason"), [("v1.0", "is no version"), ("1.0", "is no version"), ("99.0.0", "says nothing")]
)
def test_release_that_nobody_wrote_about_is_refused(tmp_path: Path, version: str, reason: str) -> None:
    made = release(tmp_path, version)
    assert made.returncode != 0
    assert reason in made.stderr
    assert not list(tmp_path.iterdir())


def test_notes_of_a_release_are_its_section_of_the_change_log(tmp_path: Path) -> None:
    assert release(tmp_path, MANIFEST["version"]).returncode == 0
    notes = (tmp_path / "notes.md").read_text().strip()
    log = (ROOT / "CHANGELOG.md").read_text()
    assert f"\n## {MANIFEST['version']}\n{notes}\n" in log
    assert "\n## " not in notes


def test_newest_section_of_the_change_log_is_of_the_version_of_the_manifest() -> None:
    newest = re.search(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == MANIFEST["version"]


# ---------------------------------------------------------------------------------------------- on GitHub

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "custom.github-workflows-require-timeout": WORKFLOWS,
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
    "vendor.github-issue-forms": [GITHUB / "ISSUE_TEMPLATE/problem.yml", GITHUB / "ISSUE_TEMPLATE/wish.yml"],
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
}


def test_every_file_for_github_is_checked() -> None:
    checked = {path for paths in SCHEMAS.values() for path in paths}
    assert checked == set(GITHUB.rglob("*.yml"))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_file_for_github_is_one_that_github_understands(schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*command, *map(str, SCHEMAS[schema])], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_workflows_have_none_of_the_known_weaknesses() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run(
        [str(zizmor), "--offline", "--no-progress", str(GITHUB)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_runs_only_what_is_pinned_and_may_do_only_what_it_has_to(path: Path) -> None:
    text = path.read_text()
    for action in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"(\./.github/workflows/\S+\.yml .*|\S+@[0-9a-f]{40} # \S+)", action)
    workflow = load_yaml_dict(str(path))
    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())
    assert text.count(": write") == (1 if path.name == "release.yml" else 0)


def test_release_is_tested_and_validated_before_it_is_published() -> None:
    jobs = load_yaml_dict(str(GITHUB / "workflows/release.yml"))["jobs"]
    assert set(jobs["release"]["needs"]) == {"tests", "validate"}


# ---------------------------------------------------------------------------------- what reviewers ask for


def forms() -> Iterator[tuple[Any, Any]]:
    """Yield the fields of all dialogs."""
    for value in vars(config_flow).values():
        if isinstance(value, vol.Schema):
            yield from value.schema.items()


def test_every_password_is_typed_unseen_and_never_filled_in() -> None:
    passwords = [(marker, field) for marker, field in forms() if marker == "password"]
    assert passwords
    for marker, field in passwords:
        assert isinstance(field, TextSelector)
        assert field.config["type"] == TextSelectorType.PASSWORD
        assert isinstance(marker.default, vol.Undefined)
        assert not marker.description


def test_no_line_of_the_log_is_given_a_secret() -> None:
    for path, node in nodes():
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_LOGGER."):
            given = " ".join(ast.unparse(argument) for argument in node.args[1:])
            assert not re.search(r"password|entry\.data|user_input|\bentry\b", given), f"{path}: {given}"


def test_encryption_is_nowhere_left_unchecked() -> None:
    for path, node in nodes():
        if isinstance(node, ast.keyword) and node.arg in {"ssl", "verify_ssl"}:
            assert ast.unparse(node.value) != "False", path


def test_nothing_that_blocks_is_used() -> None:
    blocking = {"requests", "urllib.request", "http.client", "subprocess", "socket", "time.sleep"}
    harmless = {"urllib.request.parse_http_list"}
    for path, name in imports():
        if name in harmless:
            continue
        assert not any(name == each or name.startswith(f"{each}.") for each in blocking), path
    for path, node in nodes():
        assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "open"), path


def test_nothing_is_installed_that_home_assistant_ships() -> None:
    assert MANIFEST["requirements"] == []


def test_no_action_works_on_all_of_home_assistant() -> None:
    for path, node in nodes():
        if isinstance(node, ast.Call):
            assert not ast.unparse(node.func).endswith("services.async_register"), path


# ---------------------------------------------------------------------------------------------- the README

README = (ROOT / "README.md").read_text()


def test_readme_offers_every_blueprint_for_import() -> None:
    for path in sorted((ROOT / "blueprints/automation" / DOMAIN).iterdir()):
        relative = path.relative_to(ROOT).as_posix()
        blueprint = load_yaml_dict(str(path))["blueprint"]
        assert f"[{blueprint['name']}]({relative})" in README
        source = quote(blueprint["source_url"], safe="")
        assert f"https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url={source})" in README


def test_readme_leads_to_headings_that_there_are() -> None:
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_every_picture_of_the_walk_is_shown() -> None:
    """They are renewed by scripts/e2e --pictures."""
    docs = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    shown = set(re.findall(r"\((?:docs/)?pictures/(\w+)\.png\)", README + docs))
    assert shown == {path.stem for path in (ROOT / "docs/pictures").glob("*.png")}


def test_readme_leads_to_this_repository_and_nobody_elses() -> None:
    owner_and_name = REPOSITORY.removeprefix("https://github.com/").split("/")
    (owner, name) = re.findall(r"owner=([\w-]+)&repository=([\w-]+)", README)[0]
    assert [owner, name] == owner_and_name
