-- Whose seats a viewer takes is known with the viewer.

CREATE FUNCTION school_of(of_viewer integer) RETURNS integer
LANGUAGE sql STABLE AS $$
SELECT min(home.school_id)
FROM (
    SELECT scope.school_id
    FROM staff_scopes AS scope
    WHERE scope.viewer_id = of_viewer
    UNION ALL
    SELECT student.school_id
    FROM guardianships AS guardianship
    INNER JOIN students AS student ON guardianship.student_id = student.student_id
    WHERE guardianship.viewer_id = of_viewer
) AS home
$$;

COMMENT ON FUNCTION school_of(integer) IS
'With whom a viewer shares seats, and nothing of whom it may see: of several schools the first; '
'NULL: it is of none, or of all.';
