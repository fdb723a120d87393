"""The peer that is asked as if it were the provider: by base URL, with a key of its own."""

from benchmarks.bench import CHAT, CHAT_PATH, HOST, Bench, Variant
from benchmarks.load import Target, post
from benchmarks.machine import listens
from benchmarks.peer.installed import python_package
from benchmarks.peer.running import start
from benchmarks.upstream import KEY
from interlock.demo.ports import free_ports

# 1.82.7 and 1.82.8 were malicious; 1.83.7 is the first without CVE-2026-42208.
LITELLM = "1.83.10"
OWN_KEY = "sk-of-the-gateway-0123456789"


def litellm(bench: Bench) -> Variant:
    """One model behind one key of its own, over TLS, one worker, no database."""
    programs = python_package(f"litellm[proxy]=={LITELLM}")
    folder = bench.folder / "litellm"
    folder.mkdir()
    (port,) = free_ports(1)
    (folder / "config.yaml").write_text(
        "model_list:\n- model_name: gpt-4o\n  litellm_params:\n    model: openai/gpt-4o\n"
        f"    api_base: {bench.url}/v1\n    api_key: {KEY}\n"
        f"general_settings:\n  master_key: {OWN_KEY}\n"
        "litellm_settings:\n  telemetry: false\n  num_retries: 0\n"
    )
    words = [str(programs / "litellm"), "--config", str(folder / "config.yaml")]
    words += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    words += ["--ssl_certfile_path", str(bench.certificates.chain)]
    words += ["--ssl_keyfile_path", str(bench.certificates.key)]
    # It asks for its list of prices at start, unless told that the one it ships will do.
    environ = {"SSL_CERT_FILE": str(bench.certificates.ca), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    started = start(bench.stack, folder, words, environ)
    started.wait(lambda: listens(port))
    request = post(f"{HOST}:{port}", CHAT_PATH, CHAT, Authorization=f"Bearer {OWN_KEY}")
    target = Target(HOST, port, str(bench.certificates.ca), request)
    return Variant(f"LiteLLM proxy {LITELLM}", target, started.pids)
