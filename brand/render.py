"""Render the logo into the images that Home Assistant shows: python -m brand.render (scripts/brand)."""

from pathlib import Path
import re
from typing import Final

from resvg_py import svg_to_bytes

ROOT: Final = Path(__file__).parents[1]
LOGO: Final = ROOT / "brand/energy_sse.svg"
FOLDER: Final = ROOT / "custom_components/energy_sse/brand"

# Pixels. Home Assistant's convention for the shorter side of icons and logos; "@2x" doubles it.
HEIGHT: Final = 256

# Colors for dark mode, because the normal colors would be too dark.
DARK: Final = "svg { color: #e8eef5 } .depth { stop-color: #3b82f6 }"


def images() -> dict[str, bytes]:
    """Return all images as PNG data, by file name."""
    logo = LOGO.read_text()
    icon = re.sub(r'viewBox="0 0 \d+ (\d+)"', r'viewBox="0 0 \1 \1"', logo, count=1)
    return {
        f"{theme}{name}{suffix}.png": svg_to_bytes(
            svg_string=svg, height=HEIGHT * factor, style_sheet=style, skip_system_fonts=True
        )
        for name, svg in (("icon", icon), ("logo", logo))
        for theme, style in (("", None), ("dark_", DARK))
        for suffix, factor in (("", 1), ("@2x", 2))
    }


def main() -> None:
    """Write the images into the folder from which Home Assistant serves them."""
    FOLDER.mkdir(exist_ok=True)
    for name, png in images().items():
        (FOLDER / name).write_bytes(png)


if __name__ == "__main__":
    main()
