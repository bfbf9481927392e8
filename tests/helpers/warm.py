"""Imported once by the process that forks command lines for tests: each fork has imported and read already what all need."""

from contextlib import ExitStack

import llmbench.cli.run_job  # noqa: F401 - a command imports it when it runs
from tests.helpers.found_once import found_once
from tests.helpers.settings import compose, files_read_once

STAY = ExitStack()
STAY.enter_context(files_read_once())
STAY.enter_context(found_once())
compose(("benchmark=arithmetic", "engine=fake"))
