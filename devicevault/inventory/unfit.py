"""Why a value does not fit."""

from __future__ import annotations


class Unfit(ValueError):  # noqa: N818 - it reads as a judgement, and pydantic asks for a ValueError
    """A value of the inventory that can't be: the problem, and what to do about it."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix
