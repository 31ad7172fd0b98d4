"""Why a source gave no answer that can be used."""

from __future__ import annotations


class SourceFailed(Exception):  # noqa: N818 - named for what happened, as all errors here
    """A source was down, slow, refused us or told nonsense: the problem, and what to do. Never with a secret."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}; {self.fix}" if self.fix else self.problem
