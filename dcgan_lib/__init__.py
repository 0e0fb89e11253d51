"""The shared code of the DCGAN notebooks: a small taught core in front, everything else in folders.

Read the core in the order in which the notebooks teach it: `config`, `networks`, `losses`, `training`, `trainer`.
"""
