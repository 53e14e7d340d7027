-- Every tenth customer has no segment.
INSERT INTO stg.customer (c_custkey, c_name, c_nationkey, c_mktsegment, c_acctbal)
SELECT
    n + 1,
    'Customer ' || CAST(n + 1 AS VARCHAR),
    MOD(n * 3, 10),
    CASE MOD(n, 10) WHEN 0 THEN NULL WHEN 1 THEN 'MACHINERY' WHEN 2 THEN 'FURNITURE' ELSE 'BUILDING' END,
    MOD(n * 6007, 1000000) / 100.0
FROM stg.number
WHERE n < 1500;
