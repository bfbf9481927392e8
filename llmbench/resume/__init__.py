"""Going on with a run or a sweep that ended early: `resume=FOLDER`, or `resume=last`.

`commandline` makes the whole command out of what the folder remembers, `checks` refuses what would make old and new results
incomparable, `sittings` keeps the account of how often the run was begun.
"""
