"""Link doors: the links of a running tree, asked for and changed at the parents, whose they are.

    doors = LinkDoors(deployment.nodes, token)
    doors.ask({"edge-eu": ["c-eu-03"]}, {"do": "set", "figures": {"delay": 0.2}})      {"c-eu-03": {"now": …, …}}

Each parent is asked over the loopback port that its children dial, with the run's token (node/links_door.py).
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tierfed.errors import NotReady, TierfedError
from tierfed.launch import runs

PATH = "/v1/links"
_PATIENCE = 5.0  # seconds for a parent to answer
_LARGEST = 64 << 20  # bytes of an answer
_AT_ONCE = 4000  # children in a request: at most 255 bytes each, and a megabyte is taken

Address = tuple[str, int]


class LinkDoors:
    """See the module docstring; `addresses` are where nodes listen, by name."""

    def __init__(self, addresses: Mapping[str, Address], token: str) -> None:
        self._addresses = addresses
        self._token = token

    @staticmethod
    def of(run: runs.Run) -> LinkDoors:
        """Return the doors of a run that is up.  Raises NoSuchRun if its supervisor does not answer."""
        _, _, token = runs.attach(run)
        nodes = run.fresh().manifest["nodes"]
        found = {name: row["address"] for name, row in nodes.items() if row.get("address")}
        return LinkDoors({name: (str(host), int(port)) for name, (host, port) in found.items()}, token)

    def ask(self, children: Mapping[str, Sequence[str]], request: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Do `request` to the links of `children`, by parent; return how each is then.

        Raises NotReady, naming it, if a parent does not answer, and what a parent refuses.
        """
        links: dict[str, dict[str, Any]] = {}
        for parent, names in children.items():
            for first in range(0, len(names), _AT_ONCE):
                part = {**request, "children": list(names[first : first + _AT_ONCE])}
                links |= self._asked(parent, part)["links"]
        return links

    def _asked(self, parent: str, request: Mapping[str, Any]) -> dict[str, Any]:
        host, port = self._addresses[parent]
        connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
            connection.request("POST", PATH, json.dumps(request), headers)
            answer = json.loads(connection.getresponse().read(_LARGEST))
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = (
                f"did not answer within {_PATIENCE:g} s"
                if isinstance(error, TimeoutError)
                else f"is not there: {error}"
            )
            raise NotReady(
                f"{parent}, the parent of these links, {why}",
                where="link",
                mend="see `tierfed ps`, and its log; one that is stopped goes on by `tierfed fault RUN NODE --do cont`",
            ) from None
        finally:
            connection.close()
        if "error" in answer:
            raise TierfedError.from_dict(answer["error"])
        found: dict[str, Any] = answer
        return found
