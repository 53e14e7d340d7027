-- One to seven lines per order: 120,000 lines.
INSERT INTO stg.lineitem (l_orderkey, l_linenumber, l_suppkey, l_quantity, l_extendedprice, l_discount, l_loaded_at)
SELECT
    o.o_orderkey,
    l.d + 1,
    MOD(o.o_orderkey * 13 + l.d * 7, 100) + 1,
    MOD(o.o_orderkey + l.d * 11, 50) + 1,
    (MOD(o.o_orderkey + l.d * 11, 50) + 1) * (900 + MOD(o.o_orderkey * 3 + l.d, 1100)),
    MOD(o.o_orderkey + l.d, 11) / 100.0,
    GETDATE()
FROM stg.orders o
CROSS JOIN stg.digit l
WHERE l.d <= MOD(o.o_orderkey, 7);
