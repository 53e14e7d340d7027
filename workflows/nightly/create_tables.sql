CREATE SCHEMA IF NOT EXISTS nightly;
CREATE SCHEMA IF NOT EXISTS dwh;

-- The orders as the shop delivers them: amounts are text. A negative number of pieces is a return.
CREATE TABLE IF NOT EXISTS nightly.delivered_order (
    order_id INTEGER     NOT NULL,
    customer VARCHAR(30) NOT NULL,
    pieces   INTEGER     NOT NULL,
    amount   VARCHAR(20) NOT NULL
);

CREATE TABLE IF NOT EXISTS nightly.customer (
    name VARCHAR(30) NOT NULL
);

CREATE TABLE IF NOT EXISTS nightly.customer_order (
    order_id INTEGER       NOT NULL,
    customer VARCHAR(30)   NOT NULL,
    pieces   INTEGER       NOT NULL,
    amount   DECIMAL(12,2) NOT NULL
);

CREATE TABLE IF NOT EXISTS nightly.customer_return (
    order_id INTEGER       NOT NULL,
    amount   DECIMAL(12,2) NOT NULL
);

CREATE TABLE IF NOT EXISTS nightly.daily_total (
    day    DATE          NOT NULL,
    orders BIGINT        NOT NULL,
    amount DECIMAL(18,2) NOT NULL
);

CREATE TABLE IF NOT EXISTS nightly.published (
    day    DATE          NOT NULL,
    amount DECIMAL(18,2) NOT NULL
);

CREATE TABLE IF NOT EXISTS nightly.alarm (
    day     DATE         NOT NULL,
    message VARCHAR(100) NOT NULL
);

CREATE OR REPLACE PROCEDURE dwh.totals(for_date DATE)
AS $$
BEGIN
    DELETE FROM nightly.daily_total WHERE day = for_date;
    INSERT INTO nightly.daily_total (day, orders, amount)
    SELECT for_date, COUNT(*), SUM(o.amount)
    FROM nightly.customer_order o;
END;
$$ LANGUAGE plpgsql;
