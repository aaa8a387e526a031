"""A reader: messages of an mbox."""

from email import message_from_bytes

from data_prep.read import Bad


class Mbox:
    """base: what stands before a message's id in its address."""

    columns = ("url", "title", "text")

    def __init__(self, base):
        self.base = base

    def read(self, file):
        data = b"\n" + b"".join(file.stream.blocks())
        for number, part in enumerate(data.split(b"\nFrom ")[1:], 1):
            message = message_from_bytes(part.partition(b"\n")[2])
            if message.is_multipart():
                yield Bad(number, "wrong_type", "several parts", part[:300])
                continue
            text = message.get_payload(decode=True).decode()
            url = self.base + message["Message-ID"]
            yield {"url": url, "title": message["Subject"], "text": text}
