"""The response cache (`cache=on`): completions of earlier runs, given back where everything that decides them is the same.

    keys.py         what decides a completion, as a key
    store.py        the store: one SQLite file in llmbench's cache folder, for all runs and processes
    engine.py       an engine that looks there before it asks

How much of a run came from the cache is in `results/cache_use.py`.

A hit gives back what was answered then. At temperature 0 a completion still varies a little with the requests that run beside it,
so asking again might have given another; the cache holds the one that was given. Hits carry no times.
"""
