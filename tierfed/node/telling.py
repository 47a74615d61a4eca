"""Telling: an error as it crosses a link, cut so that it fits in a frame's header.

    told(error)         {"kind": "LeafError", "what": "raised ValueError: …", "traceback": …, …}
    heard(data, "c-3")  the error again; c-3 is where it happened if it does not say so

A leaf may raise with a megabyte of text, or with text that no UTF-8 can say.  It still has to
be told: an error that cannot be sent would leave the parent waiting for its deadline.  What
is too long keeps its beginning and its end, which is where a traceback says what happened.
"""

from __future__ import annotations

from tierfed.errors import RoundFailed, TierfedError

_TRACEBACK = 24 * 1024  # bytes; a header takes 64 KiB
_TEXT = 4 * 1024  # bytes of any other text


def told(error: TierfedError) -> dict[str, str | None]:
    """Return `error` as a header carries it."""
    return {
        key: None if text is None else cut(text, _TRACEBACK if key == "traceback" else _TEXT)
        for key, text in error.to_dict().items()
    }


def heard(data: object, node: str) -> TierfedError:
    """Return the error that `node` told of; one of the wrong form is a plain one."""
    if isinstance(data, dict) and all(type(k) is str and (v is None or type(v) is str) for k, v in data.items()):
        error = TierfedError.from_dict({"what": "it failed and did not say why", **data})
    else:
        error = TierfedError("it failed and did not say why")
    error.node = error.node or node
    return error


def cut(text: str, most: int) -> str:
    """Return `text` in at most `most` bytes and a note of how many are missing."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= most:
        return data.decode()
    half = most // 2
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head}\n… {len(data) - 2 * half} bytes left out …\n{tail}"


def reason_of(error: TierfedError) -> str:
    """Return why a member is lost: what went wrong, and where at that member."""
    if error.where is None or isinstance(error, RoundFailed):
        return error.what
    return f"{error.where}: {error.what}"
