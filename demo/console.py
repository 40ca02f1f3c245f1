"""What the demo says."""


def step(text: str) -> None:
    """Say what happens now."""
    print(f"==> {text}", flush=True)


def note(text: str) -> None:
    """Say something about it."""
    print(f"    {text}", flush=True)
