"""A log that nobody reads holds up nobody."""

import logging
import os
import threading

from caravan.observability.log_format import LogWriter

from tests.waiting import wait_until


def entry(text: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, __file__, 1, text, None, None)


def test_lines_come_out_in_their_order_and_all_before_the_end() -> None:
    reading, writing = os.pipe()
    with open(reading) as read, open(writing, "w") as written:
        handler = LogWriter(written)
        for number in range(100):
            handler.handle(entry(f"line {number}"))
        handler.close()
        written.close()
        assert read.read().splitlines() == [f"line {number}" for number in range(100)]


def test_who_logs_does_not_wait_for_a_reader_and_is_told_of_what_was_lost() -> None:
    """A pipe holds 64 KiB; without a thread of its own the first lines would wait here for ever."""
    reading, writing = os.pipe()
    lines: list[str] = []
    with open(reading) as read, open(writing, "w") as written:
        handler = LogWriter(written)
        for number in range(12_000):
            handler.handle(entry(f"{number} {'x' * 100}"))

        def collect() -> None:
            lines.extend(read)

        reader = threading.Thread(target=collect)
        reader.start()
        wait_until(lambda: handler._lines.qsize() == 0)
        handler.handle(entry("the last"))
        handler.close()
        written.close()
        reader.join()
    assert lines[-1] == "the last\n"
    # Once or more: the thread may come to write in the middle of the flood.
    told = [line for line in lines if "were lost here" in line]
    assert told
    assert len(lines) - 1 - len(told) + sum(int(line.split()[0]) for line in told) == 12_000


def test_a_stream_that_is_gone_ends_nothing() -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as written:
        os.close(reading)
        handler = LogWriter(written)
        handler.handle(entry("nobody"))
        wait_until(lambda: handler._lines.qsize() == 0)
        handler.close()
        assert not handler._thread.is_alive()
        # What is left in its buffer cannot be written at its end, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), written.fileno())
