"""Writing what is worth a moment's wait and no more."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stoker.errors import Unavailable

if TYPE_CHECKING:
    from stoker.store.unit import Store


@contextmanager
def if_free(store: "Store", *, wanted: bool = True) -> Iterator[None]:
    """What the block writes is written, unless somebody holds the store's lock: then it is left.

    For what a later call makes good. With `wanted` false the block waits as it would elsewhere.
    """
    if not wanted:
        yield
        return
    try:
        with store.without_waiting():
            yield
    except Unavailable:
        return
