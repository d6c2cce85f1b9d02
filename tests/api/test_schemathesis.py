"""schemathesis, which knows nothing but the description, against the service as it is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.api import web

#: Of the whole run; what a busy machine does not get to is left to the next run's seed.
SECONDS = 40


def test_requests_made_of_the_description_find_nothing(
    certificate: ServerCertificate, tmp_path: Path
) -> None:
    with (
        servers.running(certificate) as smtp,
        web.running(
            "gunicorn",
            smtp,
            tmp_path,
            DJANGO_SETTINGS_MODULE="tests.api.unlimited_settings",
            METRICS_ENABLED="true",
            WEB_CONCURRENCY="2",
        ) as service,
    ):
        url = f"http://127.0.0.1:{service.port}/openapi.json"
        options = f"--max-time {SECONDS} --max-examples 20 --workers 2 --no-color"
        if "CI" in os.environ:
            options += " --seed 1"  # what lands is decided by the same requests each time
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
                *("run", url, *options.split()),
            ],
            cwd=tmp_path,
            env=os.environ
            | {
                "AUTHMAIL_KEY": web.KEY,
                "PYTHONPATH": str(web.ROOT),
                "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout
        print(finished.stdout)
        # How many of each there was time for depends on the machine; none of them was left out.
        selected = re.search(r"Selected: (\d+)/\1", finished.stdout)
        tested = re.search(r"Tested: (\d+)", finished.stdout)
        assert selected is not None
        assert tested is not None
        assert selected[1] == tested[1]
        assert service.rows("id")
        assert service.errors() == []
