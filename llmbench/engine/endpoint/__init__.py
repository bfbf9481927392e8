"""A model that is already served, through OpenAI's API.

- `server`: which server it is, what it serves, and whether that is the model that was asked for.
- `settings`: what the server decides of a run's settings.
- `body`: a request as the server gets it. `reply`: what it streams back. `trouble`: what is asked again.
- `exchange`: one request from its place among those in flight to its completion, with its retries.
- `health`: whether the server lives, and still serves the model.
- `metrics`: what the server says of its work.
- `cost`: prices and their limit.
- `engine`: the engine.

The `openai` client is imported where it is used: it takes most of a second.
"""

from llmbench.engine.endpoint.engine import EndpointEngine

__all__ = ["EndpointEngine"]
