"""What a run will take before it is started: time, memory and energy by the number of replicas. Loads nothing and asks no GPU.

gpu_kinds.py    the GPUs whose memory and speed are known
rates.py        what a step and a load take: measured, else stated
demand.py       how long the outputs will be, and how long a replica takes for them
replica.py      one replica: its rates, what it runs at once, its memory
forecast.py     all of it together: `forecasts`, and `replicas_worth` for engine.replicas=auto
"""
