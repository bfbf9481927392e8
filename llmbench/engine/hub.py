"""Whether the hub can be reached, found out at once: without this, each of its clients tries for half a minute."""

import logging
import os
import socket
from urllib.parse import urlparse

log = logging.getLogger(__name__)

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def notice_no_network() -> bool:
    """Sets HF_HUB_OFFLINE where the hub's name does not resolve, so that what is cached is used and the rest fails at once.

    To be called before huggingface_hub or datasets is imported. Behind a proxy names need not resolve, so nothing is done.

    Returns:
        Whether the hub was found to be out of reach just now.
    """
    offline = os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on")
    if offline or any(os.environ.get(name) for name in PROXIES):
        return False
    host = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname or "huggingface.co"
    try:
        socket.getaddrinfo(host, 443)
    except socket.gaierror as error:
        log.info("%s does not resolve (%s); working offline", host, error)
        os.environ["HF_HUB_OFFLINE"] = "1"
        return True
    return False
