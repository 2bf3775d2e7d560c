"""DynamoDB: moto checks a condition and writes in two steps; here no other write comes between them."""

import functools
import threading
from typing import Any

from moto.dynamodb.models import DynamoDBBackend

from localcloud.patching import replace

WRITES = ("put_item", "update_item", "delete_item", "transact_write_items")


def install() -> None:
    """Make conditional writes atomic."""
    lock = threading.RLock()

    def locked(original: Any) -> Any:
        @functools.wraps(original)
        def write(*arguments: Any, **keywords: Any) -> Any:
            with lock:
                return original(*arguments, **keywords)

        return write

    for name in WRITES:
        replace(DynamoDBBackend, name, locked)
