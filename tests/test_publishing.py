"""Files that stores, their validators and their reviewers read, and the archive of a release.

hassfest and the HACS action need GitHub, where workflows run them. Their rules are repeated here. The rules
of the Marketplace are run as Home Assistant ships them. test_metadata.py and test_translations.py check more.
"""

import ast
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
from homeassistant.util.yaml import load_yaml_dict
from PIL import Image, ImageChops
import pytest

from brand.render import FOLDER, images
from custom_components.energy_sse.const import DOMAIN

pytestmark = pytest.mark.slow(
    "*.json", "*.yaml", "*.md", "brand/*", ".github/*", "scripts/release", "custom_components/*.py"
)

ROOT = Path(__file__).parents[1]
INTEGRATION = ROOT / "custom_components" / DOMAIN
MANIFEST: dict[str, Any] = json.loads((INTEGRATION / "manifest.json").read_text())
HACS: dict[str, Any] = json.loads((ROOT / "hacs.json").read_text())
README = (ROOT / "README.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
REPOSITORY = "https://github.com/energy-sse/energy_sse"


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)


# ------------------------------------------------------------------------------------------------- images

IMAGES = images()


def test_folder_contains_only_rendered_images() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(IMAGES)


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_image_is_rendered_as_home_assistant_requires(name: str) -> None:
    """scripts/brand renders the images."""
    rendered, stored = Image.open(BytesIO(IMAGES[name])), Image.open(FOLDER / name)
    assert stored.size == rendered.size
    # Another processor can round a color to the next one.
    for band in ImageChops.difference(stored, rendered).split():
        assert not any(band.histogram()[3:])
    width, height = stored.size
    assert height == (512 if "@2x" in name else 256)
    assert width == height
    assert stored.format == "PNG"
    assert stored.getpixel((0, 0)) == (0, 0, 0, 0), "the background is transparent"
    assert stored.getbbox() == (0, 0, width, height), "the drawing reaches each edge"


# ------------------------------------------------------------------------------- hassfest, HACS, Marketplace


def test_manifest_follows_the_rules_of_hassfest() -> None:
    known = (
        "domain name after_dependencies bluetooth codeowners config_flow dependencies dhcp disabled"
        " documentation homekit import_executor integration_type iot_class issue_tracker loggers mqtt"
        " preview_features quality_scale requirements single_config_entry ssdp usb version zeroconf"
    )
    assert set(MANIFEST) <= set(known.split())
    assert list(MANIFEST) == ["domain", "name", *sorted(set(MANIFEST) - {"domain", "name"})]
    assert MANIFEST["documentation"] == REPOSITORY
    assert MANIFEST["issue_tracker"] == f"{REPOSITORY}/issues"
    assert MANIFEST["codeowners"]
    assert all(re.fullmatch(r"@[\w-]+(/[\w-]+)?", owner) for owner in MANIFEST["codeowners"])
    kinds = ["CALVER", "SEMVER", "SIMPLEVER", "BUILDVER", "PEP440"]
    AwesomeVersion(
        MANIFEST["version"], ensure_strategy=[getattr(AwesomeVersionStrategy, kind) for kind in kinds]
    )


def test_matchers_follow_the_rules_of_hassfest() -> None:
    for matcher in MANIFEST["zeroconf"]:
        service = matcher if isinstance(matcher, str) else matcher["type"]
        assert service.endswith("._tcp.local.")
        assert matcher == json.loads(json.dumps(matcher).lower()), "names are matched in lower case"
        # `_http._tcp` is the type of all web servers, so that its matcher needs a name.
        assert service != "_http._tcp.local." or matcher["name"]
    for matcher in MANIFEST["dhcp"]:
        assert set(matcher) <= {"macaddress", "hostname", "registered_devices"}
        assert matcher.get("hostname", "") == matcher.get("hostname", "").lower()


def test_hacs_json_follows_the_rules_of_hacs() -> None:
    known = (
        "name content_in_root country filename hacs hide_default_branch homeassistant persistent_directory"
        " render_readme zip_release"
    )
    assert set(HACS) <= set(known.split())
    assert HACS["name"] == MANIFEST["name"]
    assert (HACS["zip_release"], HACS["filename"]) == (True, "energy_sse.zip")
    assert HACS["hide_default_branch"], "without a release, there is nothing to install"
    folders = [path.name for path in (ROOT / "custom_components").iterdir() if path.is_dir()]
    assert [name for name in folders if not name.startswith("__")] == [DOMAIN]


def test_domain_and_name_are_not_those_of_a_core_integration() -> None:
    components = Path(homeassistant.__file__).parent / "components"
    assert not (components / DOMAIN).exists()
    names = {json.loads(path.read_text()).get("name") for path in components.glob("*/manifest.json")}
    assert MANIFEST["name"] not in names


def test_marketplace_accepts_manifests_and_catalog(caplog: pytest.LogCaptureFixture) -> None:
    base = pytest.importorskip("homeassistant.components.marketplace.repositories.base")
    validate = pytest.importorskip("homeassistant.components.marketplace.utils.validate")
    with caplog.at_level(logging.WARNING):
        read = base.RepositoryManifest.from_dict(HACS)
    assert not caplog.records, "the Marketplace logs what it ignores"
    assert read.manifest == HACS
    for key, validator in validate.INTEGRATION_MANIFEST_VALUES.items():
        assert validator(MANIFEST[key]) == MANIFEST[key]
    assert validate.VALID_DOMAIN.match(MANIFEST["domain"])
    assert validate.is_valid_ref(MANIFEST["version"])
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
    return run(sys.executable, ROOT / "scripts/release", version, "--folder", folder)


@pytest.fixture
def archive(tmp_path: Path) -> zipfile.ZipFile:
    """Return the archive of a release of the version in the manifest."""
    made = release(tmp_path, MANIFEST["version"])
    assert made.returncode == 0, made.stderr
    return zipfile.ZipFile(tmp_path / "energy_sse.zip")


def test_archive_has_the_same_bytes_each_time(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    for path in INTEGRATION.rglob("*.json"):
        path.touch()
    assert release(tmp_path / "again", MANIFEST["version"]).returncode == 0
    assert (tmp_path / "energy_sse.zip").read_bytes() == (tmp_path / "again/energy_sse.zip").read_bytes()


def test_archive_contains_only_the_integration(archive: zipfile.ZipFile) -> None:
    expected = {
        path.relative_to(INTEGRATION).as_posix()
        for path in INTEGRATION.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(archive.namelist()) == expected
    assert {Path(name).suffix for name in expected} <= {".json", ".png", ".py", ".typed", ".yaml"}
    for name in expected - {"manifest.json"}:
        assert archive.read(name) == (INTEGRATION / name).read_bytes()


def test_archive_has_the_version_of_its_tag(tmp_path: Path) -> None:
    version = f"{MANIFEST['version']}b7"
    assert release(tmp_path, version).returncode == 0
    released = json.loads(zipfile.ZipFile(tmp_path / "energy_sse.zip").read("manifest.json"))
    assert released == {**MANIFEST, "version": version}
    assert list(released) == list(MANIFEST)


def test_marketplace_accepts_the_archive(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    base = pytest.importorskip("homeassistant.components.marketplace.repositories.base")
    integration = pytest.importorskip("homeassistant.components.marketplace.repositories.integration")
    base._check_archive_size(archive)  # noqa: SLF001 (the Marketplace's own rule)
    folder = tmp_path / DOMAIN
    archive.extractall(folder)
    integration._check_loadable_manifest(folder, DOMAIN)  # noqa: SLF001 (the Marketplace's own rule)


@pytest.mark.parametrize(
    ("version", "reason"),
    [("v1.0", "Invalid version"), ("1.0", "Invalid version"), ("99.0.0", "has no section")],
)
def test_release_without_notes_is_rejected(tmp_path: Path, version: str, reason: str) -> None:
    made = release(tmp_path, version)
    assert made.returncode != 0
    assert reason in made.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("archive")
def test_notes_of_a_release_are_the_newest_changes(tmp_path: Path) -> None:
    notes = (tmp_path / "notes.md").read_text().strip()
    assert f"\n## {MANIFEST['version']}\n{notes}\n" in CHANGELOG
    assert "\n## " not in notes
    assert re.findall(r"^## (\S+)$", CHANGELOG, re.MULTILINE)[0] == MANIFEST["version"]


# ---------------------------------------------------------------------------------------------- on GitHub

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "custom.github-workflows-require-timeout": WORKFLOWS,
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
    "vendor.github-issue-forms": [
        GITHUB / f"ISSUE_TEMPLATE/{name}.yml" for name in ("problem", "feature_request")
    ],
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
}


def test_each_file_for_github_has_a_schema() -> None:
    assert {path for paths in SCHEMAS.values() for path in paths} == set(GITHUB.rglob("*.yml"))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_for_github_match_their_schema(schema: str) -> None:
    done = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *SCHEMAS[schema])
    assert done.returncode == 0, done.stdout


def test_workflows_have_no_known_weakness() -> None:
    done = run(Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", GITHUB)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_pins_actions_and_limits_permissions(path: Path) -> None:
    text = path.read_text()
    for action in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"(\./.github/workflows/\S+\.yml .*|\S+@[0-9a-f]{40} # \S+)", action)
    workflow = load_yaml_dict(str(path))
    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())
    assert text.count(": write") == (1 if path.name == "release.yml" else 0)
    if path.name == "release.yml":
        assert set(workflow["jobs"]["release"]["needs"]) == {"tests", "validate"}


# ------------------------------------------------------------------------------------- rules of reviewers

SOURCES = sorted(INTEGRATION.rglob("*.py"))
NODES = [(path.name, node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))]


def test_imported_components_are_declared() -> None:
    imports = [node for _, node in NODES if isinstance(node, ast.ImportFrom) and node.level == 0]
    names = [f"{node.module}.{alias.name}" for node in imports for alias in node.names]
    components = {name.split(".")[2] for name in names if name.startswith("homeassistant.components.")}
    declared = {*MANIFEST.get("dependencies", ()), *MANIFEST.get("after_dependencies", ())}
    own_files = {path.stem for path in SOURCES if path.parent == INTEGRATION}
    discovery = {"zeroconf", "dhcp"} & set(MANIFEST)
    assert "recorder" in components
    assert components <= {*Platform, *declared, *own_files, *discovery, "homeassistant"}


def test_log_lines_contain_no_secret() -> None:
    calls = [(file, node) for file, node in NODES if isinstance(node, ast.Call)]
    lines = [(file, node) for file, node in calls if ast.unparse(node.func).startswith("LOGGER.")]
    assert len(lines) > 10
    for file, node in lines:
        logged = " ".join(ast.unparse(argument) for argument in node.args[1:])
        assert not re.search(r"password|entry\.data|user_input|\bentry\b", logged), f"{file}: {logged}"


def test_certificates_are_verified() -> None:
    for file, node in NODES:
        if isinstance(node, ast.keyword) and node.arg in {"ssl", "verify_ssl"}:
            assert ast.unparse(node.value) != "False", file


# ------------------------------------------------------------------------------------ the documentation


def test_each_blueprint_is_offered_for_import() -> None:
    page = (ROOT / "docs/automations.md").read_text()
    named = " ".join(README.split())
    assert "(docs/automations.md#blueprints)" in README
    for path in sorted((ROOT / "blueprints/automation" / DOMAIN).iterdir()):
        blueprint = load_yaml_dict(str(path))["blueprint"]
        assert f"*{blueprint['name']}*" in named
        assert f"[{blueprint['name']}](../{path.relative_to(ROOT).as_posix()})" in page
        source = quote(blueprint["source_url"], safe="")
        assert f"https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url={source})" in page


def test_readme_links_to_its_headings_and_repository() -> None:
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings
    (owner_and_name,) = set(re.findall(r"owner=([\w-]+)&repository=([\w-]+)", README))
    assert "/".join(owner_and_name) == REPOSITORY.removeprefix("https://github.com/")
    assert "License: [MIT](LICENSE)" in README
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")


def test_readme_is_short_and_has_two_commands() -> None:
    assert len(README.splitlines()) <= 150
    (commands,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [line.split()[0] for line in commands.splitlines()] == ["scripts/demo", "scripts/test"]


def test_each_picture_is_shown() -> None:
    """scripts/pictures, scripts/e2e --pictures and scripts/measure pictures take the pictures."""
    docs = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    shown = set(re.findall(r"[(\"](?:docs/|\.\./)?pictures/(\w+)\.png[)\"]", README + docs))
    assert shown == {path.stem for path in (ROOT / "docs/pictures").glob("*.png")}
