DELETE FROM nightly.customer_return;

INSERT INTO nightly.customer_return (order_id, amount)
SELECT order_id, amount FROM nightly.customer_order WHERE pieces < 0;
