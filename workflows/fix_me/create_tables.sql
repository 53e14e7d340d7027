CREATE SCHEMA IF NOT EXISTS fix_me;

DROP TABLE IF EXISTS fix_me.product;
DROP TABLE IF EXISTS fix_me.customer_order;
DROP TABLE IF EXISTS fix_me.order_total;

CREATE TABLE fix_me.product (
    product_id INTEGER       NOT NULL,
    name       VARCHAR(30)   NOT NULL,
    price      DECIMAL(10,2) NOT NULL
)
DISTSTYLE ALL;

CREATE TABLE fix_me.customer_order (
    order_id   INTEGER NOT NULL,
    product_id INTEGER NOT NULL,
    pieces     INTEGER NOT NULL,
    ordered_on DATE    NOT NULL
)
DISTSTYLE KEY DISTKEY (product_id) SORTKEY (ordered_on);

CREATE TABLE fix_me.order_total (
    name   VARCHAR(30)   NOT NULL,
    amount DECIMAL(12,2) NOT NULL
)
DISTSTYLE ALL;
