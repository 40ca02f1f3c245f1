"""What has turned up so far, for platforms that make entities of it."""

from collections.abc import Callable, Iterable, Iterator, Set as AbstractSet

from homeassistant.core import CALLBACK_TYPE, callback


class Findings[T]:
    """Things that a reader turns out to have: some known from the start, others found on the way."""

    def __init__(self, known: Iterable[T] = ()) -> None:
        """Start with what is known."""
        # A dict keeps the order.
        self._found = dict.fromkeys(known)
        self._subscribers: list[Callable[[Iterable[T]], None]] = []

    def __iter__(self) -> Iterator[T]:
        """Go through what has turned up."""
        return iter(self._found)

    def __contains__(self, thing: T) -> bool:
        """Tell whether something has turned up."""
        return thing in self._found

    def has_all(self, things: AbstractSet[T]) -> bool:
        """Tell whether all of these have turned up."""
        return things <= self._found.keys()

    @callback
    def add(self, things: Iterable[T]) -> None:
        """Note things; the subscribers hear of the new ones."""
        new = [thing for thing in things if thing not in self._found]
        self._found.update(dict.fromkeys(new))
        if new:
            for subscriber in self._subscribers:
                subscriber(new)

    @callback
    def discard(self, thing: T) -> None:
        """Forget something, so that it is new when it turns up again."""
        self._found.pop(thing, None)

    @callback
    def subscribe(self, subscriber: Callable[[Iterable[T]], None]) -> CALLBACK_TYPE:
        """Call with what there is now, and with everything that turns up later. Returns the end of it."""
        subscriber(list(self))
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)
