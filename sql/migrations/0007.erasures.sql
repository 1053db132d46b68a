-- Whoever was erased stays erased: when, by number, and what tells a gateway's pings to stop.

CREATE TABLE erasures (
    student_id bigint NOT NULL,
    erased_at timestamptz NOT NULL,
    device_ids integer[] NOT NULL,
    finished_at timestamptz,
    CONSTRAINT erasures_pkey PRIMARY KEY (student_id, erased_at)
);

COMMENT ON TABLE erasures IS
'Who was erased, by number: no name, no position. The same stands in a file outside of the '
'database, which a restored copy of the database knows nothing of.';
COMMENT ON COLUMN erasures.erased_at IS
'When it began. A student of this number who was added later is another one.';
COMMENT ON COLUMN erasures.device_ids IS
'What reported the student''s positions, ascending.';
COMMENT ON COLUMN erasures.finished_at IS
'When nothing was left, looked up after everything was removed; NULL: run it again.';

ALTER TABLE students ADD COLUMN erased_at timestamptz;

COMMENT ON COLUMN students.erased_at IS
'When the student''s erasure began: no gateway may name the student from then on. The row follows '
'a minute later; a deleted row is invisible to the credential poll.';

CREATE FUNCTION rejects_of(of_student bigint, of_devices integer[])
RETURNS SETOF rejected_pings LANGUAGE sql STABLE AS $$
SELECT rejected.*
FROM rejected_pings AS rejected
LEFT JOIN devices AS device ON rejected.device_id = device.device_id
WHERE
    (
        rejected.device_id = any(of_devices)
        AND (device.device_id IS NULL OR device.student_id = of_student)
    )
    OR (
        device.student_id IS NULL
        AND encode(rejected.raw, 'escape')
        ~ ('"student_id"\s*:\s*"?' || of_student || '(?![0-9])')
    )
$$;

COMMENT ON FUNCTION rejects_of(bigint, integer[]) IS
'Rejects of one student: what these devices sent, unless they are another''s by now; and what a '
'gateway, or a device that is gone, sent and that names the student within the bytes kept. What '
'was cut before the name, or cannot be read, is not found: it leaves with the age of all rejects.';
