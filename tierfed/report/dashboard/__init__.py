"""The dashboard: a page that shows a run as it goes on, in a browser on this machine.

    board = Dashboard(topology)
    with board.served() as address:               http://127.0.0.1:41187/Zk3…/
        board.happened(event)                     what the run's recorder tells

| module | |
|---|---|
| `board` | what is known of the run, from its events, as one plain document |
| `serving` | the page, and that document to whoever looks, as server-sent events |
| `page.html`, `page.css`, `page.js` | the page; it loads nothing from anywhere else |
"""

from tierfed.report.dashboard.board import Dashboard

__all__ = ["Dashboard"]
