"""What stores, their validators and their reviewers look at, held to their rules."""

from io import BytesIO

from PIL import Image, ImageChops
import pytest

from brand.render import FOLDER, images

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
