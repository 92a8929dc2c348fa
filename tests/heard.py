"""What a process says, to wait for in tests."""

import threading
from collections.abc import Callable
from typing import Any


class Heard:
    """Keeps the messages that it is called with."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._news = threading.Condition()

    def __call__(self, message: Any) -> None:
        with self._news:
            self.messages.append(message)
            self._news.notify_all()

    def wait(self, question: Callable[[list[Any]], bool], seconds: float = 120) -> list[Any]:
        """The messages, as soon as they answer the question with yes."""
        with self._news:
            assert self._news.wait_for(lambda: question(self.messages), seconds), self.messages[-3:]
            return self.messages

    def wait_for(self, count: int) -> list[Any]:
        """The messages, as soon as there are this many."""
        return self.wait(lambda said: len(said) >= count)
