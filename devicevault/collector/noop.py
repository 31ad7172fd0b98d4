"""The ``noop`` platform: a collection without a device, for trials of everything around it.

Its options: ``text`` is the configuration, ``delay_s`` how long it takes, ``error`` a code to fail with.
"""

from __future__ import annotations

import threading

from devicevault import errors
from devicevault.collector.normalise import normalise
from devicevault.collector.session import Reading
from devicevault.errors import CollectionError, CollectionInterrupted
from devicevault.messages import CollectRequest
from devicevault.platforms.page import Platform


def reading(request: CollectRequest, platform: Platform, stopping: threading.Event) -> Reading:
    """What a device with these options would have given. Raises as a session does."""
    if stopping.wait(float(request.options.get("delay_s", 0))):
        raise CollectionInterrupted("the worker is stopping")
    if code := str(request.options.get("error", "")):
        raise _error(code)
    text = str(request.options.get("text", f"hostname {request.device}\n"))
    return Reading(platform.artifacts[0], text.encode(), normalise(platform, text), "made up, not read")


def _error(code: str) -> CollectionError:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, CollectionError) and kind.code == code:
            return kind("the noop platform was asked for this error")
    return CollectionError(f"the noop platform was asked for {code!r}, which is no error code")
