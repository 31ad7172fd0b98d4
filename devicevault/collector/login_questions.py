"""What a device asks on a line nobody logged in to yet: over telnet, or behind a console server."""

from __future__ import annotations

from typing import Final

from devicevault.platforms.page import Platform, Question

#: ``login:``, ``Username:``, ``User Name:``, ``switch login:``, ``Login as:``; never ``Last login: Tue …``, for nothing
#: follows a question.
USERNAME: Final = Question(
    asks=r"(?i)\b(?:user ?name|login(?: (?:as|name|id))?|user(?: id)?) ?: *\Z", answer="{username}"
)
PASSWORD: Final = Question(asks=r"(?i)\bpass(?:word|code|phrase)\b[^:\n]{0,40}: *\Z", answer="{password}")


def asking_for_login(platform: Platform) -> Platform:
    """The platform, its page's own questions first, and then those for name and password."""
    session = platform.session
    questions = (*session.questions, USERNAME, PASSWORD)
    return platform.model_copy(update={"session": session.model_copy(update={"questions": questions})})
