CREATE TABLE IF NOT EXISTS dwh.dim_supplier (
    supplier_key INTEGER     NOT NULL,
    name         VARCHAR(25) NOT NULL,
    nation       VARCHAR(25) NOT NULL,
    region       VARCHAR(25) NOT NULL,
    loaded_for   DATE        NOT NULL
)
DISTSTYLE ALL SORTKEY (supplier_key);

CREATE TABLE IF NOT EXISTS dwh.dim_customer (
    customer_key INTEGER     NOT NULL,
    name         VARCHAR(25) NOT NULL,
    segment      VARCHAR(10) NOT NULL,
    nation       VARCHAR(25) NOT NULL,
    region       VARCHAR(25) NOT NULL,
    loaded_for   DATE        NOT NULL
)
DISTSTYLE ALL SORTKEY (customer_key);

-- DELETE and INSERT run in the transaction of the call, so that other sessions see either the old or the new rows.
CREATE OR REPLACE PROCEDURE dwh.load_dim_supplier(for_date DATE)
AS $$
BEGIN
    DELETE FROM dwh.dim_supplier;
    INSERT INTO dwh.dim_supplier (supplier_key, name, nation, region, loaded_for)
    SELECT s.s_suppkey, s.s_name, n.n_name, n.n_region, for_date
    FROM stg.supplier s
    JOIN stg.nation n ON n.n_nationkey = s.s_nationkey;
END;
$$ LANGUAGE plpgsql;

CREATE OR REPLACE PROCEDURE dwh.load_dim_customer(for_date DATE)
AS $$
BEGIN
    DELETE FROM dwh.dim_customer;
    INSERT INTO dwh.dim_customer (customer_key, name, segment, nation, region, loaded_for)
    SELECT c.c_custkey, c.c_name, COALESCE(c.c_mktsegment, 'NONE'), n.n_name, n.n_region, for_date
    FROM stg.customer c
    JOIN stg.nation n ON n.n_nationkey = c.c_nationkey;
END;
$$ LANGUAGE plpgsql;
