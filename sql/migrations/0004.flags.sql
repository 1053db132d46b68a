-- What an app says of a fix, and what we have put right: bits, NULL for nearly every ping.

ALTER TABLE geolocation_data ADD COLUMN flags smallint;

COMMENT ON COLUMN geolocation_data.flags IS
'1: the app says that the fix is not valid, so it is never the newest position; 2: the timestamp '
'was 1,024 weeks behind, a GPS roll-over, and was put right; 4: it was counted from 2001, and was '
'put right. Sums of these; NULL for none.';
COMMENT ON COLUMN geolocation_data."timestamp" IS
'The device''s clock at the fix; part of the key. Altered only where flags say so.';
