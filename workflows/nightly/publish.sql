DELETE FROM nightly.published WHERE day = CAST(:run_date AS DATE);

INSERT INTO nightly.published (day, amount)
SELECT day, amount FROM nightly.daily_total WHERE day = CAST(:run_date AS DATE);
