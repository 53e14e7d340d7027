INSERT INTO stg.supplier (s_suppkey, s_name, s_nationkey, s_acctbal)
SELECT n + 1, 'Supplier ' || CAST(n + 1 AS VARCHAR), MOD(n * 7, 10), MOD(n * 7919, 1000000) / 100.0
FROM stg.number
WHERE n < 100;
