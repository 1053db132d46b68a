-- Pings of an hour or a day, found without reading their month.

CREATE INDEX idx_geolocation_timestamp ON geolocation_data
USING brin ("timestamp") WITH (pages_per_range = 32, autosummarize = on);

COMMENT ON INDEX idx_geolocation_timestamp IS
'For the roller and for retention: pings come about in the order of time, so a block range holds '
'a short one.';
