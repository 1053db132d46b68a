-- A device's token can be exchanged while it travels: the one before goes on for a while. And the key by which
-- one OwnTracks device encrypts.

ALTER TABLE devices
ADD COLUMN previous_digest bytea,
ADD COLUMN previous_until timestamptz,
ADD COLUMN owntracks_key bytea,
ADD CONSTRAINT previous_token_is_unique UNIQUE (previous_digest),
ADD CONSTRAINT previous_token_is_sha256 CHECK (octet_length(previous_digest) = 32),
ADD CONSTRAINT previous_token_is_another CHECK (previous_digest <> token_digest),
ADD CONSTRAINT previous_token_ends CHECK ((previous_digest IS NULL) = (previous_until IS NULL)),
ADD CONSTRAINT owntracks_key_is_32_bytes CHECK (octet_length(owntracks_key) = 32);

COMMENT ON COLUMN devices.previous_digest IS
'SHA-256 of the token before the last rotation, which is accepted, too, until previous_until.';
COMMENT ON COLUMN devices.previous_until IS
'When the token before ends, by the clock of the database; past: it has ended.';
COMMENT ON COLUMN devices.owntracks_key IS
'Key of what the device encrypts: its passphrase and zeros. Unlike a token it is kept in clear, so '
'whoever has a dump can read what the device sends; NULL where it does not encrypt.';
