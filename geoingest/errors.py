"""Every error, by whose turn it is.

GeoingestError
├── CallerError                 4xx: the caller must change something
│   ├── MalformedBodyError          400  malformed_body
│   │   └── BrokenBodyError                  cut short, or it does not unpack
│   ├── BadQueryError               400  bad_query
│   ├── BadBodyError                400  bad_body
│   ├── BadPasswordError            400  bad_password
│   ├── UnauthenticatedError        401  unauthenticated
│   │   └── WrongCredentialsError            wrong_credentials: e-mail or password, nobody is told which
│   ├── NotFoundError               404  not_found
│   │   └── NoPositionError             no_position
│   ├── NotAcceptableError          406  not_acceptable
│   ├── DirectoryBusyError          409  directory_busy
│   ├── BodyTimeoutError            408  body_timeout
│   ├── TooManySharesError          409  too_many_shares
│   ├── BodyTooLargeError           413  body_too_large
│   ├── UnsupportedMediaTypeError   415  unsupported_media_type
│   └── TooManyRequestsError        429  too_many_requests: one device or viewer over its rate
│       └── TooManyLoginsError               too_many_logins: an account or an address that failed or came often
├── ServiceError                503: our turn; the caller keeps its pings and comes again
│   ├── OverloadedError             overloaded
│   ├── ShuttingDownError           shutting_down
│   ├── StaleCredentialsError       credentials_stale
│   ├── IssuerAwayError             issuer_away
│   ├── DatabaseUnavailableError    database_unavailable
│   ├── WriteFailedError            write_failed: the batch did not commit, or we cannot know
│   └── NotRecordedError            not_recorded: the look-up may not be on record, so nothing is shown
├── SettingsError               exit code 78
├── DatabaseAwayError           exit code 75
└── LocalError                  exit code 1: something on this machine is in the way
"""

from __future__ import annotations

from typing import ClassVar


class GeoingestError(Exception):
    """Base class of everything this program raises on purpose."""

    exit_code: ClassVar[int] = 1


class HttpError(GeoingestError):
    """Base class of errors that become an RFC 9457 answer."""

    status: ClassVar[int]
    reason: ClassVar[str]
    title: ClassVar[str]
    # True when the rest of the body is in the way of a next request.
    closes_connection: ClassVar[bool] = False

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail


class CallerError(HttpError):
    """Base class of errors that the caller can mend."""


class MalformedBodyError(CallerError):
    """The body is not JSON at all."""

    status, reason, title = 400, "malformed_body", "The body is not JSON"


class BrokenBodyError(MalformedBodyError):
    """The body ended early or does not unpack."""

    title, closes_connection = "The body ended early or does not unpack", True


class BadQueryError(CallerError):
    """A parameter of the question is missing or out of range."""

    status, reason, title = 400, "bad_query", "A query parameter is not valid"


class BadBodyError(CallerError):
    """The body is JSON, and not what is asked for."""

    status, reason, title = 400, "bad_body", "The body is not what is asked for"


class BadPasswordError(CallerError):
    """The new password is one that is not taken."""

    status, reason, title = 400, "bad_password", "The new password is too weak or too long"


class UnauthenticatedError(CallerError):
    """The bearer token is missing, unknown or revoked."""

    status, reason, title = 401, "unauthenticated", "A valid bearer token is needed"


class WrongCredentialsError(UnauthenticatedError):
    """Nobody has this e-mail with this password; what of it is wrong is not said."""

    reason, title = "wrong_credentials", "Wrong e-mail or password"


class NotFoundError(CallerError):
    """There is no such thing, or the caller may not know that there is."""

    status, reason, title = 404, "not_found", "Not found"


class NoPositionError(NotFoundError):
    """The student is known and visible, and has sent no ping within the detail window."""

    reason, title = "no_position", "No position yet"


class NotAcceptableError(CallerError):
    """None of the media types in Accept is served here."""

    status, reason, title = 406, "not_acceptable", "No such representation"


class BodyTimeoutError(CallerError):
    """The body did not arrive in time."""

    status, reason, title = 408, "body_timeout", "The body did not arrive in time"
    closes_connection = True


class TooManySharesError(CallerError):
    """The viewer has as many shares of the student as one may have."""

    status, reason, title = 409, "too_many_shares", "Too many shares of this student"


class BodyTooLargeError(CallerError):
    """The body holds more bytes or more pings than one request may."""

    status, reason, title = 413, "body_too_large", "The body is too large"


class DirectoryBusyError(CallerError):
    """Another import is under way, or has changed what this one was about to: send it again."""

    status, reason, title = 409, "directory_busy", "The directory is being changed by somebody else"


class UnsupportedMediaTypeError(CallerError):
    """The body's Content-Type is none that is taken here."""

    status, reason, title = 415, "unsupported_media_type", "No such media type is taken here"


class TooManyRequestsError(CallerError):
    """One device posts, or one viewer asks, more often than it may; others are not affected."""

    status, reason, title = 429, "too_many_requests", "More requests than one caller may make"

    def __init__(self, wait_seconds: float) -> None:
        super().__init__()
        self.wait_seconds = wait_seconds


class TooManyLoginsError(TooManyRequestsError):
    """This account or this address has failed to log in, or has logged in, too often just now."""

    reason, title = "too_many_logins", "Too many tries to log in"


class ServiceError(HttpError):
    """Base class of errors that pass: the caller keeps its pings and tries again."""

    status = 503


class OverloadedError(ServiceError):
    """The queue is full, or its oldest ping has waited too long."""

    reason, title = "overloaded", "Too busy to take more now"


class ShuttingDownError(ServiceError):
    """The process is draining."""

    reason, title = "shutting_down", "Shutting down"


class BodyLateError(ServiceError):
    """The body did not arrive in time, from an app that may throw away what is answered with a 4xx."""

    reason, title, closes_connection = "body_timeout", "The body did not arrive in time", True


class StaleCredentialsError(ServiceError):
    """The list of tokens is too old to trust, so that nobody can be let in."""

    reason, title = "credentials_stale", "Credentials could not be refreshed"


class IssuerAwayError(ServiceError):
    """The platform's token may be good, but its issuer does not tell the key."""

    reason, title = "issuer_away", "The platform's keys cannot be had"


class DatabaseUnavailableError(ServiceError):
    """No database connection, and none within the time a caller may wait."""

    reason, title = "database_unavailable", "The database is away"


class WriteFailedError(ServiceError):
    """The batch did not commit, or its outcome is unknown: sending again is safe."""

    reason, title = "write_failed", "The pings were not confirmed as stored"


class NotRecordedError(ServiceError):
    """What was asked could not be put on record, or its outcome is unknown, so it is not answered."""

    reason, title = "not_recorded", "The look-up was not confirmed as recorded"


class SettingsError(GeoingestError):
    """A setting is unknown or has a value that cannot be used."""

    exit_code = 78


class DatabaseAwayError(GeoingestError):
    """A command needs the database and cannot reach it."""

    exit_code = 75


class LocalError(GeoingestError):
    """Something on this machine stands in the way of the embedded databases."""
