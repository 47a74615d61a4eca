"""The report: a run, a sweep, or several of them, as one page that needs nothing but itself.

    tierfed.report_of("7f3a90c2").save("report.html")
    fleet.report()                                   # the same, in a notebook

The page is HTML with drawings in SVG, made of what the run's folder holds: no script, no font, no
picture, nothing from a network.  Whatever a file says is text to it, never markup; a content policy in the page
says so again, to the browser.

    stored_run, stored_sweep      what the folders hold
    svg, axes                     shapes that take their colours from the page, or keep them in a paper
    curves, pareto, tier_bytes,   a figure each
    timeline, split_map, tree_picture
    run_page, sweep_page          which figures, in which order, and what is said where one is missing
"""

from tierfed.report.page.report import Report, report_of

__all__ = ["Report", "report_of"]
