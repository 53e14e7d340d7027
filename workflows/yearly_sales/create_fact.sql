CREATE TABLE IF NOT EXISTS dwh.fact_yearly_sale (
    sale_year       INTEGER       NOT NULL,
    supplier_key    INTEGER       NOT NULL,
    customer_nation VARCHAR(25)   NOT NULL,
    line_items      BIGINT        NOT NULL,
    quantity        DECIMAL(18,2) NOT NULL,
    revenue         DECIMAL(18,2) NOT NULL,
    loaded_for      DATE          NOT NULL
)
DISTSTYLE KEY DISTKEY (supplier_key) SORTKEY (sale_year);

CREATE OR REPLACE PROCEDURE dwh.load_fact_yearly_sale(for_date DATE)
AS $$
BEGIN
    DELETE FROM dwh.fact_yearly_sale;
    INSERT INTO dwh.fact_yearly_sale (sale_year, supplier_key, customer_nation, line_items, quantity, revenue, loaded_for)
    SELECT
        CAST(EXTRACT(YEAR FROM o.o_orderdate) AS INTEGER),
        s.supplier_key,
        c.nation,
        COUNT(*),
        SUM(l.l_quantity),
        SUM(l.l_extendedprice * (1 - l.l_discount)),
        for_date
    FROM stg.lineitem l
    JOIN stg.orders o ON o.o_orderkey = l.l_orderkey
    JOIN dwh.dim_supplier s ON s.supplier_key = l.l_suppkey
    JOIN dwh.dim_customer c ON c.customer_key = o.o_custkey
    GROUP BY 1, 2, 3;
END;
$$ LANGUAGE plpgsql;
