"""What apps take an answer for: each function is the rule of one or more of them."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import orjson


class Answer(NamedTuple):
    """What came back; where nothing did, there is None in its place."""

    status: int
    content_type: str = ""
    body: bytes = b""
    retry_after_seconds: float | None = None


# taken: the app forgets the fixes, because they are safe. dropped: it forgets them, and they may not be.
# kept: it sends the same again. halved: it looks for the one that is in the way. hopeless: it gives up.
Fate: TypeAlias = Literal["taken", "dropped", "kept", "halved", "hopeless"]


def any_2xx(answer: Answer | None) -> Fate:
    """Any 2xx."""
    return "taken" if _is_2xx(answer) else "kept"


def below_400(answer: Answer | None) -> Fate:
    """Whatever is not an error."""
    return "taken" if answer is not None and answer.status < 400 else "kept"


def any_answer(answer: Answer | None) -> Fate:
    """Any answer ends it; below 400 it was also a success."""
    if answer is None:
        return "kept"
    return "taken" if answer.status < 400 else "dropped"


def one_of_three(answer: Answer | None) -> Fate:
    """200, 201 and 204."""
    return "taken" if answer is not None and answer.status in (200, 201, 204) else "kept"


def json_array(answer: Answer | None) -> Fate:
    """2xx with a JSON array."""
    return "taken" if _is_2xx(answer) and isinstance(_document(answer), list) else "kept"


def drops_4xx(answer: Answer | None) -> Fate:
    """Any 2xx; a 4xx ends it, too."""
    return "dropped" if _is_4xx(answer) else any_2xx(answer)


def halves_4xx(answer: Answer | None) -> Fate:
    """Any 2xx; by a 4xx one of the fixes is in the way."""
    return "halved" if _is_4xx(answer) else any_2xx(answer)


def result_ok(answer: Answer | None) -> Fate:
    """2xx with JSON by its Content-Type that says `{"result":"ok"}`."""
    if not _is_2xx(answer) or answer is None or answer.content_type != "application/json":
        return "kept"
    document = _document(answer)
    is_ok = isinstance(document, dict) and document.get("result") == "ok"
    return "taken" if is_ok else "kept"


def native(answer: Answer | None) -> Fate:
    """200; 503 and 429 are for later, anything else is for ever."""
    if answer is None or answer.status in (429, 503):
        return "kept"
    return "taken" if answer.status == 200 else "hopeless"


def _is_2xx(answer: Answer | None) -> bool:
    return answer is not None and 200 <= answer.status < 300


def _is_4xx(answer: Answer | None) -> bool:
    return answer is not None and 400 <= answer.status < 500


def _document(answer: Answer | None) -> object:
    try:
        return None if answer is None else orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
