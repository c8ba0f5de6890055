"""What the API server refuses, and for how long it wants to be left alone."""

from __future__ import annotations

from collections.abc import Collection

#: However long the API server, or a proxy before it, wants to be left alone.
RETRY_AFTER_CAP_SECONDS = 300.0


class ApiError(Exception):
    """The API server refused a call. `status` is the HTTP code, `reason` Kubernetes' word for it.

    `fields` are those of the object that it finds invalid, such as metadata.uid. `retry_after_seconds` is for how long
    it wants to be left alone.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        fields: Collection[str] = (),
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.fields = fields
        self.retry_after_seconds = retry_after_seconds

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def forbidden(self) -> bool:
        return self.status == 403


class WentBack(Exception):
    """The API server tells an older state of things than before: its data was restored.

    What is known here is of a future that never came, and newer by its versions than all that will be told. A process
    that lists everything anew is right in a second: this one is to end.
    """

    def __init__(self, what: str, version: int, before: int) -> None:
        super().__init__(f"the API server's data was restored: {what} has version {version}, and had {before} before")


def retry_after(error: BaseException) -> float:
    """Seconds for which the API server wants to be left alone after `error`; 0 if it did not say."""
    return error.retry_after_seconds if isinstance(error, ApiError) else 0.0


def retry_after_header(text: str | None) -> float:
    """A Retry-After header's value: whole seconds. Kubernetes sends no dates."""
    return min(float(text), RETRY_AFTER_CAP_SECONDS) if text and text.isascii() and text.isdigit() else 0.0
