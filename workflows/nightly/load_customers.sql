DELETE FROM nightly.customer;

INSERT INTO nightly.customer (name)
SELECT DISTINCT customer FROM nightly.delivered_order;
