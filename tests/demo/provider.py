"""The keys that the local upstream takes in these tests, and a question with its answer."""

from typing import Any

KEYS = {"openai": "sk-openai-real", "anthropic": "sk-ant-real"}
MESSAGES: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
REPLY = "You said 5 characters."
