"""`caravan healthcheck`: whether a server lives, for those who look after containers."""

import ssl
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from caravan.cli.errors import CommandError
from caravan.cli.options import with_settings
from caravan.config.load import Configuration, flag
from caravan.web.running import server_addresses
from caravan.web.startup_message import base_url

_SECONDS = 5.0


def _check(configuration: Configuration) -> None:
    """Request /health from a server on this machine. The exit code is 1 if it does not answer.

    A server writes its address into its data folder. So only --data-dir is needed here, if it is not the
    default one. If several servers share that folder, --port chooses one.
    """
    address = _address(configuration)
    # It is asked itself, by an address: no proxy, and whatever name its certificate is for.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    asking = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with asking.open(f"{address}/health", timeout=_SECONDS):
            print(f"{address} is alive")
    except urllib.error.HTTPError as error:
        raise CommandError(f"{address}/health answers {error.code}") from error
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise CommandError(f"{address}/health cannot be asked: {reason}") from error


def _address(configuration: Configuration) -> str:
    settings = configuration.settings
    found = known = server_addresses(settings.data_dir)
    if configuration.origins.get("port") == flag("port") or len(found) > 1:
        found = [address for address in found if urlsplit(address).port == settings.port]
    if found:
        return found[0]
    if len(known) > 1 and configuration.origins.get("port") != flag("port"):
        raise CommandError(f"{len(known)} servers are known here; --port says which is meant")
    if not settings.port:
        raise CommandError("no server is known here; --port says where it listens")
    return base_url((settings.host, settings.port), is_tls=settings.tls_certificate is not None)


command = with_settings(_check)
