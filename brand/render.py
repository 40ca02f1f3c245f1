"""Render the icon into the images that Home Assistant shows: python -m brand.render (scripts/brand)."""

from pathlib import Path
from typing import Final

from resvg_py import svg_to_bytes

ROOT: Final = Path(__file__).parents[1]
ICON: Final = ROOT / "brand/energy_sse.svg"
FOLDER: Final = ROOT / "custom_components/energy_sse/brand"

# Home Assistant's convention for the size of icons; "@2x" doubles it.
HEIGHT: Final = 256

# Color for a dark background, where the normal color would be too dark.
DARK: Final = ".depth { stop-color: #3b82f6 }"


def images() -> dict[str, bytes]:
    """Return all images as PNG data, by file name."""
    icon = ICON.read_text()
    return {
        f"{theme}icon{suffix}.png": svg_to_bytes(
            svg_string=icon, height=HEIGHT * factor, style_sheet=style, skip_system_fonts=True
        )
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
