"""An agent that knows nothing of Interlock: one call, by way of HTTPS_PROXY and SSL_CERT_FILE.

`python agent.py METHOD URL [NAME:VALUE ...]` takes the body from stdin and writes the answer to
stdout: status line, headers, body, each as it came.
"""

import sys
import urllib.error
import urllib.request

TIMEOUT_S = 20


def main(method: str, url: str, *fields: str) -> None:
    headers = {name: value for name, _, value in (field.partition(":") for field in fields)}
    body = sys.stdin.buffer.read() or None
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - ours
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - ours
    except urllib.error.HTTPError as refusal:
        answer = refusal
    with answer:
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        sys.stdout.buffer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.read())


if __name__ == "__main__":
    main(*sys.argv[1:])
