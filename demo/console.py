"""Output of the demo."""


def step(text: str) -> None:
    """Print a step."""
    print(f"==> {text}", flush=True)


def note(text: str) -> None:
    """Print a note about a step."""
    print(f"    {text}", flush=True)
