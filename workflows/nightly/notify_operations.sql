INSERT INTO nightly.alarm (day, message)
VALUES (CAST(:run_date AS DATE), 'a load of the night failed');
