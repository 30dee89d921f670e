"""What plugins of hosted tuners need alike: `from ftspec import hosted`. Like any plugin it stands on `api` and `rows`.

What a failed call means, an SDK's clients, JSON lines with findings, names made of a job's key, and chat in the shape
that OpenAI's `/chat/completions` made common. Images in messages are in `hostedimages`.
"""

from ftspec.hosted.asides import Asides
from ftspec.hosted.chat import ChatModel, chat_answer, chat_body
from ftspec.hosted.clients import Clients, http_client, no_connection
from ftspec.hosted.failures import (
    GONE,
    Hints,
    calling,
    cancel,
    error,
    key,
    page_of,
    retry_after,
    unanswered,
    unreadable,
)
from ftspec.hosted.lines import DROP, ROLES, Unfit, chat_line, chat_message, only_answer, text_of, write_lines
from ftspec.hosted.names import PREFIX, name_of, timestamp
from ftspec.hosted.redirects import asynchronous_hooks, hooks, origin, sent_on

__all__ = [
    "DROP",
    "GONE",
    "PREFIX",
    "ROLES",
    "Asides",
    "ChatModel",
    "Clients",
    "Hints",
    "Unfit",
    "asynchronous_hooks",
    "calling",
    "cancel",
    "chat_answer",
    "chat_body",
    "chat_line",
    "chat_message",
    "error",
    "hooks",
    "http_client",
    "key",
    "name_of",
    "no_connection",
    "only_answer",
    "origin",
    "page_of",
    "retry_after",
    "sent_on",
    "text_of",
    "timestamp",
    "unanswered",
    "unreadable",
    "write_lines",
]
