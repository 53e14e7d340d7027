-- 30,000 orders from 1992 to 1998.
INSERT INTO stg.orders (o_orderkey, o_custkey, o_orderdate)
SELECT n + 1, MOD(n * 17, 1500) + 1, CAST(DATEADD(day, MOD(n * 31, 2557), DATE '1992-01-01') AS DATE)
FROM stg.number
WHERE n < 30000;
