"""Look through every text for a regular expression, on all processors."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import select

from devicevault.compression import decompress
from devicevault.errors import UsageError
from devicevault.store.engine import Store
from devicevault.store.matching import Matcher, PatternTooSlowError
from devicevault.store.models import DeviceConfig
from devicevault.store.rows import chunks
from devicevault.store.states import State

#: Texts a process is given at a time.
AT_ONCE: Final = 200

Lines = list[tuple[int, str]]


@dataclass(frozen=True)
class Found:
    """The lines of one revision that match."""

    state: State
    #: Numbers, counted from 1, and texts.
    lines: Lines


def search(store: Store, looked_through: Sequence[State], matcher: Matcher) -> Iterator[Found]:
    """What matches in these revisions, in their order; a text that several have is looked through once.

    Raises :class:`UsageError` when the expression takes too long.
    """
    by_config = _by_config(store, sorted({state.config_id for state in looked_through}), matcher)
    for state in looked_through:
        lines = by_config.get(state.config_id)
        if lines:
            yield Found(state, lines)


def texts_of(store: Store, states: Sequence[State]) -> Iterator[tuple[State, bytes]]:
    """Each revision with its text in UTF-8, in no order."""
    by_config: dict[int, list[State]] = {}
    for state in states:
        by_config.setdefault(state.config_id, []).append(state)
    for texts in _texts(store, list(chunks(sorted(by_config), AT_ONCE))):
        for config_id, compressed in texts:
            text = decompress(compressed)
            yield from ((state, text) for state in by_config[config_id])


def _by_config(store: Store, config_ids: Sequence[int], matcher: Matcher) -> dict[int, Lines]:
    found: dict[int, Lines] = {}
    batches = list(chunks(config_ids, AT_ONCE))
    with ExitStack() as stack:
        look = partial(_matching, matcher)
        if len(batches) > 1 and (processes := min(len(batches), _processors())) > 1:
            # Started afresh: a copy of this process would share its connection to the database.
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_leave_interrupts_to_parent)
            stack.callback(pool.shutdown, cancel_futures=True)
            results = pool.map(look, _texts(store, batches))
        else:
            results = map(look, _texts(store, batches))
        for result in results:
            if result is None:
                raise _too_slow()
            found.update(result)
    return found


def _texts(store: Store, batches: Collection[Sequence[int]]) -> Iterator[list[tuple[int, bytes]]]:
    for batch in batches:
        with store.reading() as session:
            query = select(DeviceConfig.id, DeviceConfig.compressed).where(DeviceConfig.id.in_(batch))
            texts = [(config_id, compressed) for config_id, compressed in session.execute(query)]
        yield texts


def _matching(matcher: Matcher, texts: Sequence[tuple[int, bytes]]) -> dict[int, Lines] | None:
    """The matching lines by text; ``None`` where the expression took too long."""
    found: dict[int, Lines] = {}
    for config_id, compressed in texts:
        try:
            lines = matcher.lines(decompress(compressed))
        except PatternTooSlowError:
            return None
        if lines:
            found[config_id] = lines
    return found


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _too_slow() -> UsageError:
    return UsageError(
        "this regular expression takes too long: it tries a text in too many ways",
        "leave out a repetition within a repetition, such as (a+)+",
    )


def _processors() -> int:
    return len(os.sched_getaffinity(0))
