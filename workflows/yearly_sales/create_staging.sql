CREATE SCHEMA IF NOT EXISTS stg;
CREATE SCHEMA IF NOT EXISTS dwh;

DROP TABLE IF EXISTS stg.lineitem;
DROP TABLE IF EXISTS stg.orders;
DROP TABLE IF EXISTS stg.customer;
DROP TABLE IF EXISTS stg.supplier;
DROP TABLE IF EXISTS stg.nation;
DROP TABLE IF EXISTS stg.number;
DROP TABLE IF EXISTS stg.digit;

-- Redshift joins no generated series to tables: rows come from ten digits, joined with themselves.
CREATE TABLE stg.digit (d INTEGER NOT NULL) DISTSTYLE ALL;
INSERT INTO stg.digit (d) VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);

CREATE TABLE stg.number (n INTEGER NOT NULL) DISTSTYLE ALL SORTKEY (n);
INSERT INTO stg.number (n)
SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d
FROM stg.digit a CROSS JOIN stg.digit b CROSS JOIN stg.digit c CROSS JOIN stg.digit e CROSS JOIN stg.digit f
WHERE f.d < 3;

CREATE TABLE stg.nation (
    n_nationkey INTEGER     NOT NULL,
    n_name      VARCHAR(25) NOT NULL,
    n_region    VARCHAR(25) NOT NULL
)
DISTSTYLE ALL;

INSERT INTO stg.nation (n_nationkey, n_name, n_region) VALUES
    (0, 'EGYPT', 'AFRICA'), (1, 'KENYA', 'AFRICA'), (2, 'BRAZIL', 'AMERICA'), (3, 'CANADA', 'AMERICA'),
    (4, 'INDIA', 'ASIA'), (5, 'JAPAN', 'ASIA'), (6, 'FRANCE', 'EUROPE'), (7, 'GERMANY', 'EUROPE'),
    (8, 'IRAN', 'MIDDLE EAST'), (9, 'JORDAN', 'MIDDLE EAST');

CREATE TABLE stg.supplier (
    s_suppkey   INTEGER       NOT NULL,
    s_name      VARCHAR(25)   NOT NULL,
    s_nationkey INTEGER       NOT NULL,
    s_acctbal   DECIMAL(12,2) NOT NULL
)
DISTSTYLE ALL SORTKEY (s_suppkey);

CREATE TABLE stg.customer (
    c_custkey    INTEGER       NOT NULL,
    c_name       VARCHAR(25)   NOT NULL,
    c_nationkey  INTEGER       NOT NULL,
    c_mktsegment VARCHAR(10),
    c_acctbal    DECIMAL(12,2) NOT NULL
)
DISTSTYLE KEY DISTKEY (c_custkey) SORTKEY (c_custkey);

CREATE TABLE stg.orders (
    o_orderkey  INTEGER NOT NULL,
    o_custkey   INTEGER NOT NULL,
    o_orderdate DATE    NOT NULL
)
DISTSTYLE KEY DISTKEY (o_orderkey) SORTKEY (o_orderdate);

CREATE TABLE stg.lineitem (
    l_orderkey      INTEGER       NOT NULL,
    l_linenumber    INTEGER       NOT NULL,
    l_suppkey       INTEGER       NOT NULL,
    l_quantity      DECIMAL(12,2) NOT NULL,
    l_extendedprice DECIMAL(12,2) NOT NULL,
    l_discount      DECIMAL(4,2)  NOT NULL,
    l_loaded_at     TIMESTAMP     NOT NULL
)
DISTSTYLE KEY DISTKEY (l_orderkey) SORTKEY (l_orderkey);
