"""Report pages: an explanation as one HTML file that needs nothing else.

The page holds its maps as numbers, so that colours can be changed and values be read in the
browser. It asks for nothing from a network, and a policy in it forbids that it could.
"""

from lrpkeras.report.writing import check_page, write

__all__ = ["check_page", "write"]
