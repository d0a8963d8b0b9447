"""ministack as two processes, so that nothing of it survives whichever of them dies, and however.

The keeper is what the sandbox started. It starts ministack in a process group of its own, to which the function
processes that ministack starts belong as well, and kills that group when its own standard input ends or ministack dies.
ministack in turn watches a pipe from the keeper, and kills its group when the keeper is gone.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import ministack_enforcement
import ministack_events

HOST = "127.0.0.1"
SECONDS_TO_START = 60

# The services of the account looked after, as SDKs write them in AWS_ENDPOINT_URL_<SERVICE> ("Service-specific
# endpoints", AWS SDKs and Tools Reference Guide).
SERVICES_OF_MOTO = (
    "APPLICATION_AUTO_SCALING",
    "AUTO_SCALING",
    "CLOUDWATCH",
    "EC2",
    "ECR",
    "ECS",
    "ELASTIC_LOAD_BALANCING_V2",
    "KMS",
    "LAMBDA",
    "RDS",
    "SECRETS_MANAGER",
)


def serve(port, state_dir, moto_url, enforce):
    """Be the keeper: start ministack, announce it, and end it when standard input ends."""
    from serve import announce, when_input_ends

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        port = listener.getsockname()[1]
        ministack = _start(listener, port, state_dir, moto_url, enforce)
    when_input_ends(lambda: _end(ministack, 0))
    signal.signal(signal.SIGTERM, lambda *_: _end(ministack, 0))
    _wait_until_it_answers(ministack, port)
    if moto_url:
        ministack_events.register(moto_url, f"http://{HOST}:{port}")
    announce(port)
    ministack.wait()
    print("ministack ended by itself", file=sys.stderr)
    _end(ministack, 1)


def run(listener_descriptor):
    """Be ministack, on a socket that the keeper has bound."""
    import asyncio

    from serve import when_input_ends

    when_input_ends(lambda: os.killpg(0, signal.SIGKILL))
    from hypercorn.asyncio import serve as serve_with_hypercorn
    from hypercorn.config import Config
    from ministack.app import app

    import ministack_calendars
    import ministack_gaps
    import ministack_wakes

    ministack_gaps.install()
    ministack_wakes.install()
    ministack_calendars.install()
    if ministack_enforcement.MOTO_URL in os.environ:
        ministack_enforcement.install()
    config = Config()
    config.bind = [f"fd://{listener_descriptor}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    asyncio.run(serve_with_hypercorn(ministack_events.Door(app), config))


def _start(listener, port, state_dir, moto_url, enforce):
    return subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), str(listener.fileno())],
        env=_environment(port, os.path.abspath(state_dir), moto_url, enforce),
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        pass_fds=[listener.fileno()],
        start_new_session=True,
    )


def _environment(port, state_dir, moto_url, enforce):
    temporary, state, objects = (os.path.join(state_dir, name) for name in ("tmp", "state", "s3"))
    for directory in (temporary, state, objects):
        os.makedirs(directory, exist_ok=True)
    environment = dict(
        os.environ,
        BIND_HOST=HOST,
        GATEWAY_PORT=str(port),
        MINISTACK_ACCOUNT_ID="123456789012",
        # Both would listen on ports of their own.
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        # ministack unpacks functions below the temporary directory, and writes keys into its state.
        TMPDIR=temporary,
        STATE_DIR=state,
        S3_DATA_DIR=objects,
        LOG_LEVEL=os.environ.get("LOG_LEVEL", "WARNING"),
        # Every function process inherits these, and its own variables come on top.
        AWS_ENDPOINT_URL=f"http://{HOST}:{port}",
    )
    if enforce:
        # Its functions send everything to it, and it goes on to moto from there; but for a service that it has no name for.
        environment.update({"AUTH": "true", ministack_enforcement.MOTO_URL: moto_url})
        environment["AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING"] = moto_url
    elif moto_url:
        environment.update({f"AWS_ENDPOINT_URL_{service}": moto_url for service in SERVICES_OF_MOTO})
    return environment


def _wait_until_it_answers(ministack, port):
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if ministack.poll() is not None:
            print(f"ministack ended with status {ministack.returncode} before it answered", file=sys.stderr)
            _end(ministack, 1)
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/_ministack/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    print(f"ministack did not answer within {SECONDS_TO_START} seconds", file=sys.stderr)
    _end(ministack, 1)


def _end(ministack, status):
    """Kill ministack and all its functions, and end the keeper."""
    try:
        os.killpg(ministack.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # Nobody of the group is left.
    os._exit(status)


if __name__ == "__main__":
    run(int(sys.argv[1]))
