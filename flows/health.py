"""``python -m flows.health``: exit code 0 where the API answers and a ``factory up`` that was started here lives."""

import os
import sys

from labelfactory.flows.running import note_path, running_api_url
from labelfactory.flows.server import healthy


def main() -> int:
    running = running_api_url()
    api_url = os.environ.get("PREFECT_API_URL") or running or "http://127.0.0.1:4200/api"
    if note_path().is_file() and running is None:
        print("factory up has died", file=sys.stderr)
        return 1
    if not healthy(api_url):
        print(f"no Prefect server answers at {api_url}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
