"""Programs written for BigDL, unchanged: `python -m dlcore.bigdl script.py`, or `import dlcore.bigdl` before their
imports.

From then on `bigdl.nn.layer`, `bigdl.optim.optimizer` and the other modules of `names.MODULES` are dlcore's, for this
process and the Python workers of its Spark; so are `dl.*`, BigDL's first name, and what Analytics Zoo calls `zoo.*`. A
BigDL that is installed is not looked at.
"""

from __future__ import annotations

from dlcore.bigdl.modules import install

install()
