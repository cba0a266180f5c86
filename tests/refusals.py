"""What every refusal of an argument looks like."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def refused(field: str, value: object, allowed: str = "") -> Iterator[None]:
    """One line that names the field, the value and what is allowed."""
    with pytest.raises(ValueError, match=r"^[^\n]+\Z") as caught:
        yield
    message = str(caught.value)
    assert message.startswith(f"{field}: {value}"), message
    assert f"; allowed: {allowed}" in message, message
