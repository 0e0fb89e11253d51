"""The shared code of the DCGAN notebooks: small modules, one job each.

Read them in the order in which the notebooks teach them: `config`, `data`, `networks`, `losses`,
`training`, then `metrics`, `viz` and `lab`.
"""

__version__ = "0.1.0"
